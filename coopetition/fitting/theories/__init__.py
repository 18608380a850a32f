"""Theories that can be fitted to measured curves: the toy with its variants, and rivals."""
