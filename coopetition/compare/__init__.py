"""The confrontation of theory and training runs: curves, an observation model, a fit, a report."""
