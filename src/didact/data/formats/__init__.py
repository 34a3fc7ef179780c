"""Readers of real formats, one file a format; ``detect.read_path`` finds the one that fits."""
