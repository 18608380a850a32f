"""Runs on disk: folders, checkpoints, metrics, tables, export."""
