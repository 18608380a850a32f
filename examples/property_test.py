"""
Test a law with random problems
===============================

A law that holds in one run may fail in the next. Hypothesis draws models of two strategies with
many strengths, errors and initial scales, and looks for one that breaks the law. It finds none:
what remains is the integrator's error.
"""

import matplotlib.pyplot as plt
from hypothesis import given, settings
from hypothesis import strategies as st

import coopetition as co

drifts = []
strength = st.floats(0, 1)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 10**6), strength, strength, strength, st.floats(0.1, 2))
def test_laws_of_the_norms(seed, alpha, mu1, mu2, scale):
    """The flow keeps the laws of any random problem."""
    model = co.two_strategies(alpha=alpha, mu1=mu1, mu2=mu2)
    draw = co.random_draw(seed, model, scales=dict.fromkeys(model.factors, scale))
    flow = co.solve(model, draw, method="flow", t1=100)
    drifts.append([check.drift for check in co.check_laws(flow)])
    assert max(drifts[-1]) < 1e-5


test_laws_of_the_norms()
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
names = [law.name for law in co.norm_laws(co.two_strategies())]
for name, values, marker in zip(names, zip(*drifts, strict=True), "ox", strict=True):
    ax.semilogy(values, marker, label=name)
ax.axhline(1e-5, color="red", label="largest allowed drift")
ax.set(xlabel="number of the random problem", ylabel="relative drift of the law")
ax.legend(loc="lower right")
plt.show()
