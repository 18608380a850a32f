"""One command for each figure of the two papers, from runs of our own."""
