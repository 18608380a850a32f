"""Studies of our own, on kept runs: theories against runs, and variation within classes."""
