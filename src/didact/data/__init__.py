"""Data: embedded sets, readers of real formats, splits and batches."""
