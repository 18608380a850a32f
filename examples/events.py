"""
Find the events of a solution
=============================

A mechanism counts as learnt while its loss is below one half of its unlearnt loss. All events
follow from this rule: emergence, peak, crossing, unlearning, and takeover by the rival.
"""

from dataclasses import asdict

import matplotlib.pyplot as plt

import coopetition as co

trajectory = co.solve(co.two_strategies(), co.published_draw(7))
events = {name: time for name, time in asdict(trajectory.events()).items() if time is not None}
print(*[f"{name}: {time:.0f}" for name, time in events.items()], sep="\n")
print("fate:", trajectory.fate().value)

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
unlearnt = trajectory.problem.unlearnt_losses()
for name, colour in (("icl", "C0"), ("ciwl", "C1")):
    ax.plot(trajectory.times, trajectory.losses[name] / unlearnt[name], colour, label=name.upper())
ax.axhline(0.5, color="grey", lw=0.8, ls=":", label="learnt below")
for k, (name, time) in enumerate(sorted(events.items(), key=lambda event: event[1])):
    ax.axvline(time, color="grey", lw=0.8)
    ax.annotate(name, (time, 1.06 + 0.07 * (k % 4)), ha="center")
ax.set(xlabel="time (steps x step size)", ylabel="loss / unlearnt loss", ylim=(0, 1.4))
ax.legend(loc="center right")
plt.show()
