"""Measures of whole runs, a file each: from their metrics, or from all their checkpoints."""
