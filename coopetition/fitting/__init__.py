"""Comparison of theories with measured curves.

curves                      measured curves, read from run folders and CSV files
theory, sensitivities       theories as formulas or flows
registry                    those that have names, in `theories`, and their readouts
formulas                    compiled formulas with their derivatives
noise, likelihood           noise of a curve; its likelihood, maximised or integrated
observation, readout        curves from a theory's errors: floors and gains, or signal detection
problem                     whitened residuals of curves, with their Jacobian
estimate, optimum, result   fits: multi-start maximum likelihood, and their results
identifiability, intervals  identifiable parameters; intervals by profile likelihood
posterior, forecast         posterior samples with evidence, and forecasts from them
selection, simulation       several theories on the same curves; curves with known parameters
"""
