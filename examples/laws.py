"""
Check conservation laws
=======================

Weighted sums of squared norms are conserved along the gradient flow, or change only through the
cost of competition. Gradient descent breaks these laws by a term that is proportional to the
step size.
"""

import matplotlib.pyplot as plt

import coopetition as co

model, draw = co.two_strategies(), co.random_draw(3)
steps, t1 = [0.1, 0.2, 0.5, 1.0, 2.0], 500.0

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
flow = co.solve(model, draw, method="flow", t1=t1)
descents = [co.solve(model, draw, step=step, t1=t1) for step in steps]
for law in co.norm_laws(model):
    values = law.value(flow.problem, flow.states)
    kind = "conserved" if law.conserved else "changes through the cost"
    (line,) = left.plot(flow.times, values, label=f"{law.name}: {kind}")

    # the exact law along the flow, from the flow to the end of each descent
    ends = [law.value(each.problem, each.state(-1)) for each in descents]
    right.loglog(steps, [abs(end - values[-1]) for end in ends], "o-", color=line.get_color())
left.set(xlabel="time", ylabel="value along the flow")
left.legend()
right.set(xlabel="step size of descent", ylabel="distance from the flow's value at the end")

for check in co.check_laws(flow):
    print(f"{check.law.name}: relative drift {check.drift:.1e}")
plt.show()
