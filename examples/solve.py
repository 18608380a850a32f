"""
Solve the minimal model
=======================

In the published model, in-context learning (ICL) builds the tensor a⊗b⊗c. Context-constrained
in-weights learning (CIWL) builds d⊗b⊗c. ICL is learnt first. Then CIWL replaces it, because a and
d compete.
"""

import matplotlib.pyplot as plt

import coopetition as co

model = co.two_strategies(alpha=0.1, mu1=0.1)
trajectory = co.solve(model, co.published_draw(7))
print(trajectory.summary())

# %%
# Why does ICL fade? It has the irreducible error mu1, and CIWL has none. Without mu1, ICL stays.

persistent = co.solve(model.replace(mu1=0), co.published_draw(7))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
trajectory.plot(ax=left)
left.set_title("mu1 = 0.1: ICL rises and fades")
persistent.plot(ax=right)
right.set_title("mu1 = 0: ICL persists")
plt.show()
