"""What is measured of a model: metrics of sequences, and when they cross levels."""
