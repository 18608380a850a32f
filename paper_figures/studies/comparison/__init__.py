"""Theories against the kept runs: how well they fit, and what they forecast."""
