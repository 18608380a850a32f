"""
Draw a phase diagram
====================

Which fate has ICL, and for which parameters? Each cell of the diagram has the most frequent
fate of 20 random draws after 16,000 steps. ICL is transient only if competition (alpha) and its
irreducible error (mu1) are both large enough.
"""

import matplotlib.pyplot as plt

import coopetition as co

diagram = co.phase_diagram(
    co.two_strategies(),
    co.Axis.between("alpha", 1e-3, 1, 20, log=True),
    co.Axis.between("mu1", 0, 0.2, 20),
    n_draws=20,
)
print(diagram.summary())

figure, ax = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
diagram.plot(ax=ax)
ax.set(xlabel="alpha: strength of competition", ylabel="mu1: irreducible error of ICL")
plt.show()
