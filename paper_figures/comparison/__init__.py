"""Theories against the runs kept here: how well they fit, what they foresee."""
