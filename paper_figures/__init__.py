"""The figures of the papers, of the theory and of our own studies, from runs of our own."""
