"""Conservation laws: the balance, the budget, and how finite steps break them."""

import numpy as np

from paper_figures.core.figure import Figure, FigureResult, blank, points

STEPS = (1.0, 0.5, 0.25, 0.125)
TIME = 2000.0
TIGHT = {"method": "flow", "rtol": 1e-11, "atol": 1e-14}


def draw() -> FigureResult:
    """Draw each law's quantity and its prediction, and the drift of descent by step size."""
    from coopetition import descend, published_draw, solve, two_strategies
    from coopetition.dynamics.trajectory import check_laws
    from coopetition.model.laws import norm_laws

    drawing = blank(7.2, 2.8)
    flow_axes, step_axes = drawing.subplots(1, 2)
    model, start = two_strategies(), published_draw(7)
    flow = solve(model, start, t1=16000.0, **TIGHT)  # type: ignore[arg-type]
    numbers, findings = [], []
    for check in check_laws(flow):
        (line,) = flow_axes.plot(flow.times, check.values, label=check.law.name)
        flow_axes.plot(flow.times[::15], check.expected[::15], ".", color=line.get_color())
        numbers += points("flow", check.law.name, flow.times, check.values)
        numbers += points("flow, by its law", check.law.name, flow.times, check.expected)
        findings.append(f"{check.law.name}: the flow conserves it to {check.drift:.1e}")
    flow_axes.set(xlabel="time", ylabel="value (dots: by its law)", xscale="symlog", xlim=(0, None))
    flow_axes.legend(frameon=False)
    for law in norm_laws(model):
        drifts = []
        for step in STEPS:
            descent = descend(model, start, step=step, n_steps=round(TIME / step))
            problem, states = descent.problem, descent.states
            value = law.value(problem, states)
            # the flow's law, summed over the steps: the term of second order remains
            passed = step * (law.rate(problem, states) * np.ones(len(value)))[:-1].sum()
            drifts.append(abs(value[-1] - value[0] - passed))
        order = np.polyfit(np.log(STEPS), np.log(drifts), 1)[0]
        step_axes.loglog(STEPS, drifts, "o-", label=f"{law.name}: order {order:.3f}")
        numbers += points("drift by step", law.name, np.array(STEPS), np.array(drifts))
        findings.append(f"{law.name}: drift of descent by time {TIME:g} is of order {order:.3f}")
    step_axes.set(xlabel="step size", ylabel=f"distance from the flow's law at time {TIME:g}")
    step_axes.legend(frameon=False)
    return FigureResult(drawing, numbers, findings=findings)


FIGURE = Figure(__name__, "laws of the norms along the flow, and their drift under descent", draw)
