"""Measures of a model on an evaluator's sequences, a file each."""
