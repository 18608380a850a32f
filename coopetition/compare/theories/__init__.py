"""Theories that are fitted to measured curves: toy, variants, rivals, a file each."""
