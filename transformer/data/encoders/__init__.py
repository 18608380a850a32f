"""Frozen encoders of drawings, a file each."""
