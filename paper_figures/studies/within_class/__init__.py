"""Runs on Gaussian classes: a pre-registered test of mu1."""
