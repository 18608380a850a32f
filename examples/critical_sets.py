"""
Find critical sets
==================

At a critical point all gradients vanish, so training is slow near it. The package lists the
critical sets of any sharing graph, and tells minima from saddles. Here the losses fall to a
saddle at which nothing is learnt, and end at the minimum at which CIWL is learnt. On the way
ICL is learnt, but only for a while: as mu1 > 0, there is no critical point at which it is.
"""

import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

import coopetition as co

flow = co.solve(co.two_strategies(), co.published_draw(7), method="flow", t1=1e5)
icl, ciwl = flow.losses["icl"], flow.losses["ciwl"]

figure, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
ax.plot(icl, ciwl, color="grey", zorder=1)
path = ax.scatter(icl, ciwl, c=flow.times, s=12, norm=LogNorm(vmin=1), zorder=2)
figure.colorbar(path, label="time")

markers = {"MINIMUM": "*", "SADDLE": "X", "DEGENERATE": "s"}
shown = set()
for each in co.critical_sets(flow.problem):
    print(each.kind.name.lower().ljust(12), each.describe())
    losses = flow.problem.losses(each.state)
    place = losses["icl"], losses["ciwl"]
    if place not in shown:  # several sets have the same losses
        kind = each.kind.name
        learnt = " and ".join(sorted(each.learnt)) or "nothing"
        ax.scatter(*place, marker=markers[kind], s=160, zorder=3, ec="white")
        label = f"{kind.lower()}: {learnt} learnt"
        ax.annotate(label, place, xytext=(9, -16), textcoords="offset points")
    shown.add(place)
ax.set(xlabel="ICL's loss", ylabel="CIWL's loss")
ax.margins(0.25)
plt.show()
