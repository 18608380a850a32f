"""The transformer as functions of named parameters."""
