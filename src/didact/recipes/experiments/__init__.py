"""Experiments of the lectures: one file for each question, with command, time and what was found."""
