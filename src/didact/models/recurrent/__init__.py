"""Recurrent networks that read and write text."""
