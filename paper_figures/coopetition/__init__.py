"""Strategy Coopetition Explains the Emergence and Transience of ICL (Singh et al. 2025)."""
