"""Comparison of theories with measured curves.

curves                      measured curves, read from run folders and CSV files
theory, sensitivities       theories as formulas or flows; those in `theories` have names
least_squares, noise        residuals of a theory, and their effective sample size
estimate, result            fits: multi-start least squares, and their results
identifiability, intervals  identifiable parameters; intervals by profile likelihood
posterior, forecast         posterior samples, and forecasts from them
selection, simulation       several theories on the same curves; curves with known parameters
"""
