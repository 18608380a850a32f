"""Descent, flow and optimisers of one problem or of many, training on two cues, and the results."""
