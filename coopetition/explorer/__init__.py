"""The interactive explorer of the minimal model: one HTML page that needs no server."""
