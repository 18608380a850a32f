"""Results without simulation: critical points, fates, times; the document."""
