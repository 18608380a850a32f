"""Tiny transformers that learn one strategy and then swap it for another."""
