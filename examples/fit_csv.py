"""
Fit the log of another tool
===========================

The log of another tool needs no conversion: name its columns. This script writes a CSV file as
a logger exports it. The losses are simulated, so that the true parameters are known.
"""

import csv

import matplotlib.pyplot as plt

import coopetition as co

truth = {"icl_at": 3e5, "icl_width": 4e4, "ciwl_at": 6e5, "ciwl_width": 8e4, "loss": 0.8}
simulated = co.simulate("logistic_race", truth, noise=0.05)
with open("log.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["step", "train/loss", "eval/icl_loss", "eval/ciwl_loss"])
    writer.writerows(zip(simulated.sequences / 32, *simulated.values.values(), strict=True))

# %%
# Read the file and fit it. A logger counts steps; a theory counts sequences, here 32 a step.

columns = {"train": "train/loss", "icl": "eval/icl_loss", "ciwl": "eval/ciwl_loss"}
curves = co.read_curves("log.csv", columns=columns, batch_size=32, first=0)
fit = co.fit(curves, "logistic_race", n_starts=8)
for name, true in truth.items():
    each = fit.parameters[name]
    print(f"{name}: {each.value:.3g} ({each.low:.3g} to {each.high:.3g}), truth {true:.3g}")

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
fit.plot(ax=ax)
plt.show()
