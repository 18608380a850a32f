"""Exemplars: the vectors that stand for classes.  Each kind has its own file."""
