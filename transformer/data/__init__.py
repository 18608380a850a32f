"""Exemplars, sequences and evaluators."""
