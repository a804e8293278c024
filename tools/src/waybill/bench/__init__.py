"""Ratios: two things measured in turns, in one run, on one machine."""
