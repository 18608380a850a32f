"""Runs of our own on Gaussian classes: what the toy said of them before they were made."""
