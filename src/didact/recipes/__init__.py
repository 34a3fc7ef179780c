"""Recipes: one file for each reproducible run, with command, time and expected number."""
