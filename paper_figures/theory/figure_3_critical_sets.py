"""Critical sets: flows from near them, and coexistence."""

from typing import TYPE_CHECKING

import numpy as np

from coopetition.model.presets import COMPETITION, PUBLISHED_DIMS
from paper_figures.core.figure import Figure, FigureResult, blank, points

if TYPE_CHECKING:
    from coopetition import InitialState
    from coopetition.model.reduced import Problem
    from coopetition.theory.critical_sets import CriticalSet

SIZE = 1e-3  # of the perturbation, relative to the targets


def draw_near(problem: "Problem", each: "CriticalSet", rng: np.random.Generator) -> "InitialState":
    """Return a draw near a critical set."""
    from coopetition.model.initial_state import canonical_draw

    names = problem.model.factors
    u, w = (
        {
            f: x + SIZE * problem.norms[f] * rng.standard_normal()
            for f, x in zip(names, part, strict=True)
        }
        for part in (each.state.overlap, each.state.orthogonal)
    )
    return canonical_draw(PUBLISHED_DIMS, dict(problem.norms), u, {f: abs(x) for f, x in w.items()})


def draw() -> FigureResult:
    """Draw the loss above that of a set started near, and the late flow with both learnt."""
    from coopetition import published_draw, solve, two_strategies
    from coopetition.model.initial_state import canonical_draw
    from coopetition.model.reduced import Problem
    from coopetition.theory.critical_sets import Kind, critical_sets
    from coopetition.theory.fates import coexistence_asymptotics

    drawing = blank(7.2, 2.8)
    near_axes, far_axes = drawing.subplots(1, 2)
    numbers, findings = [], []
    rng = np.random.default_rng(0)
    model = two_strategies(mu1=0.0)
    problem = Problem(model, published_draw(7))
    for each in critical_sets(problem):
        minimum = each.kind is Kind.MINIMUM
        flow = solve(model, draw_near(problem, each, rng), method="flow", threshold=0.0, t1=1e5)
        rest = problem.losses(each.state)["total"]
        distance = np.abs(flow.losses["total"] - rest)
        style = {"color": "#0072B2"} if minimum else {"color": "#D55E00", "lw": 0.8}
        near_axes.loglog(flow.times + 1, distance + 1e-18, **style)
        numbers += points("near", each.describe(), flow.times, distance)
        findings.append(
            f"{each.kind.name.lower()}: {each.describe()}: distance of the loss "
            f"{distance[0]:.1e} -> {distance[-1]:.1e}"
        )
    near_axes.set(
        xlabel="time + 1",
        ylabel="|loss - loss on the set|",
        ylim=(1e-12, None),
        title="started near a minimum (blue), a saddle (red)",
    )
    model = two_strategies(mu2=0.05)
    small = {name: 3 for name in PUBLISHED_DIMS}
    norms, zero = dict.fromkeys(PUBLISHED_DIMS, 1.7), dict.fromkeys(PUBLISHED_DIMS, 0.0)
    start = canonical_draw(small, norms, {"a": 0.9, "b": 1.1, "c": 1.3, "d": 0.7}, zero)
    flow = solve(model, start, method="flow", threshold=0.0, t1=1e9, rtol=1e-8)
    late = coexistence_asymptotics(flow.problem)
    t = np.geomspace(10, flow.times[-1], 60)
    shared = np.sqrt(np.abs(flow.overlap[1] * flow.overlap[2]))
    curves = {
        "sqrt |b||c|": (shared, [late.shared(x) for x in t], 1 / 10),
        "|a|": (np.abs(flow.overlap[0]), [late.own(x)[0] for x in t], -1 / 5),
        "K": (flow.losses[COMPETITION], [late.competition(x) for x in t], -4 / 5),
    }
    for name, (values, predicted, exponent) in curves.items():
        (line,) = far_axes.loglog(flow.times[1:], values[1:], label=f"{name} ~ t^{exponent:g}")
        far_axes.loglog(t, predicted, "--", color=line.get_color())
        numbers += points("coexistence", name, flow.times[1:], values[1:])
        numbers += points("coexistence, predicted", name, t, np.array(predicted))
        last = flow.times > flow.times[-1] / 100
        slope = np.polyfit(np.log(flow.times[last]), np.log(values[last]), 1)[0]
        findings.append(f"coexistence: {name} ~ t^{slope:.4f}, predicted {exponent:g}")
    far_axes.set(xlabel="time", title="coexistence (dashed: predicted)")
    far_axes.legend(frameon=False)
    return FigureResult(drawing, numbers, findings=findings)


FIGURE = Figure(__name__, "critical sets: flows from near them, and coexistence", draw)
