"""Why is it not learning? An observer of any PyTorch loop that names the cause and prints the fix."""
