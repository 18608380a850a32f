"""Data modes: how the classes, exemplars and labels of a sequence are drawn.  Each has a file."""
