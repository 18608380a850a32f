"""Comparison of theories with measured curves.

curves                      measured curves, read from run folders and CSV files
theory, sensitivities       what a theory is: formulas, or flows; `theories` has the known ones
least_squares, noise        residuals of a theory, and their effective sample size
estimate, result            fits: multi-start least squares, and what it gives
identifiability, intervals  identifiable parameters; intervals by profile likelihood
posterior, forecast         posterior samples, and forecasts from them
selection, recovery         several theories on the same curves; fits to curves with known truth
"""
