"""Blocks that several architectures share and that torch.nn lacks, or hides."""
