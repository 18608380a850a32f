"""Descent and flow of one problem or of many, and the results."""
