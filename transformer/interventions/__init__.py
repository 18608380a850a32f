"""Interventions on a model's activations, as values."""
