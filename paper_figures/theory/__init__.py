"""The theory of the minimal model, as in docs/tour.md."""
