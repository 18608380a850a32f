"""Clocks: what learning rate, batch size and optimiser do to the times of ICL."""
