"""
Compare theories
================

Several theories may fit the same curves. The Bayesian information criterion (BIC) weighs the
misfit against the number of fitted parameters: lower is better, and a difference of 10 is
large. The best theory may still fit badly: here the caution says so, and the plot at the right
shows that the theory misses ICL. The curves are accuracies of a run of the preset `demo` that is
kept in the package.
"""

import matplotlib.pyplot as plt

import coopetition as co
from coopetition.plot.fits import plot_theories
from paper_figures.core.runs import kept_runs

curves = kept_runs("demo")[0].curves("in_context_accuracy")
theories = ["toy", "toy_persistent", "two_cues", "subcircuits", "logistic_race", "spline"]
comparison = co.compare(curves, theories, n_screened=512, n_starts=8)
print(comparison.summary())

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plot_theories(comparison, ax=left)
comparison.fits[0].plot(ax=right)
right.set_title(f"the lowest BIC: {comparison.fits[0].theory}")
plt.show()
