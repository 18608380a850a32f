"""What can be said without simulating: laws, critical points, fates, times; the document."""
