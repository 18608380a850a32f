"""Many problems at once: phase diagrams and interventions."""
