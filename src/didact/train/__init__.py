"""Training: the loop, recipes, optimizers, schedules, checkpoints and runs."""
