"""Exemplars: the vectors that stand for classes.  Each kind has its own file."""

from transformer.data.exemplar_sets import Exemplars, load_exemplars

__all__ = ["Exemplars", "load_exemplars"]
