"""Anatomy: what a network is, to the last parameter, operation and input pixel."""
