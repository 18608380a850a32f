"""Results without simulation: laws, critical points, fates, times; the document."""
