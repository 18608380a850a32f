"""Runs on Gaussian classes: a pre-registered test of the toy's mu1."""
