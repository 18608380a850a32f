"""Figures of "Strategy Coopetition Explains the Emergence and Transience of ICL" (2025)."""
