"""Figures of the tour through the theory (docs/tour.md)."""
