"""
Forecast the rest of a run
==========================

Fit a theory to the first two thirds of a run, sample the posterior of its parameters, and
simulate how the run may continue. The curves are simulated; black dots show how they continue.
"""

import matplotlib.pyplot as plt

import coopetition as co

truth = {"icl_at": 3e5, "icl_width": 4e4, "ciwl_at": 7e5, "ciwl_width": 8e4, "loss": 0.8}
curves = co.simulate("logistic_race", truth)
known, rest = curves.between(last=6.5e5), curves.between(first=6.5e5)

fit = co.fit(known, "logistic_race", n_starts=8)
forecast = co.forecast(co.sample_posterior(fit), 1e6)
print(forecast.summary())

figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
forecast.plot(ax=ax)
for name in ("train", "icl", "ciwl"):
    ax.plot(rest.sequences / 1e6, rest.values[name], ".", color="black", ms=4)
plt.show()
