"""
Define your own sharing graph
=============================

A model is a graph: factors, mechanisms that multiply some of them, and costs on pairs of
factors. Here a third strategy, a lookup table, shares only the factor c with ICL and CIWL. It
has no irreducible error, and replaces both of them.
"""

import matplotlib.pyplot as plt

import coopetition as co

model = co.Model(
    factors=["a", "b", "c", "d", "e"],
    mechanisms=[
        co.Mechanism("icl", ["a", "b", "c"], mu=0.1),
        co.Mechanism("ciwl", ["d", "b", "c"], mu=0.02),
        co.Mechanism("lookup", ["e", "c"], mu=0.0),
    ],
    costs=[co.Cost("a_d", ["a", "d"], alpha=0.1), co.Cost("d_e", ["d", "e"], alpha=0.02)],
)
# the lengths of the factors' vectors, and the scales of their initial entries: a longer factor
# learns more slowly, and a smaller start delays it further
lengths = {"a": 6, "b": 6, "c": 6, "d": 12, "e": 60}
draw = co.random_draw(5, lengths, scales={"d": 0.3, "e": 0.03})
trajectory = co.solve(model, draw, t1=30_000)

for name in ("icl", "ciwl", "lookup"):
    events = trajectory.events(name)
    end = "never" if events.unlearning is None else f"at {events.unlearning:.0f}"
    print(f"{name}: learnt at {events.emergence:.0f}, unlearnt {end}")
print("laws:", *[law.name for law in co.norm_laws(model)], sep="\n  ")

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
trajectory.plot(ax=ax)
ax.set(xscale="log", xlim=(10, 3e4), ylim=(0, 0.3))
plt.show()
