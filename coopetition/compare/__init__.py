"""The confrontation of theories and training runs.

curves, errors        what was measured, and how surely
theory, theories      what is held against it; `flow`, `closed_form`: how theories are written
observation, noise    how a theory is seen in curves, and how residuals hang together
problem, estimate     what is minimised, and how; `result`: what that gives
identifiability       which parameters the curves tell; `profile`, `draws`: without a first order
selection, forecast   theories side by side, and asked for what they have not seen
recovery              the whole of it on curves whose makers are known
"""
