"""The minimal model's theory, as in docs/tour.md."""
