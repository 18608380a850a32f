"""Solving the minimal model: gradient descent or gradient flow on the exact reduction.

The published runs are descent with step 1.  The flow is its limit of small steps; in the published
regime the two differ by up to 2e-2 in ICL's loss around its emergence: say which one a number is.
"""

import math
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np

from coopetition.model.declaration import Model
from coopetition.model.draws import Draw
from coopetition.model.problem import Numbers, Reduced, project
from coopetition.solve.trajectory import Array, Status, Trajectory
from coopetition.tools.errors import UsageError

Method = Literal["descent", "flow"]
DIVERGED = 1e12  # a loss above this will not come back
MAX_STEPS = 10**6  # some half a minute; every state is kept
MIN_RTOL = 1e-13  # what the integrator can keep
MAX_EVALUATIONS = 250_000  # of the flow's velocity, some ten seconds: a stiffer problem has failed


def solve(
    model: Model,
    draw: Draw,
    *,
    method: Method = "descent",
    step: float = 1.0,
    threshold: float = 1e-6,
    max_steps: int = 16000,
    rtol: float = 1e-9,
    atol: float = 1e-12,
) -> Trajectory:
    """Follow the model from a draw until its loss is under `threshold`, or for `max_steps` steps.

    Parameters
    ----------
    method : "descent" takes the steps; "flow" integrates d(state)/dt = -rate * gradient over the
        same time, `step * max_steps`, with scipy's LSODA.
    step : step size of descent; one step is `step` units of flow time
    threshold : stop at the first step (or time) whose total loss is below this
    rtol, atol : tolerances of the flow

    Returns
    -------
    Trajectory with every step (descent) or the integrator's own steps (flow).

    Raises
    ------
    UsageError : a parameter that is not finite, or out of range
    """
    if method not in get_args(Method):
        raise UsageError(
            f"method {method!r} is unknown; choose one of {', '.join(get_args(Method))}"
        )
    for name, value, positive in (
        ("step", step, True),
        ("threshold", threshold, False),
        ("rtol", rtol, True),
        ("atol", atol, True),
    ):
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            bound = "above 0" if positive else "of at least 0"
            raise UsageError(f"{name} is {value}; choose a finite number {bound}")
    if max_steps < 1:
        raise UsageError(f"max_steps is {max_steps}; choose at least 1")
    if max_steps > MAX_STEPS or not math.isfinite(step * max_steps):
        raise UsageError(f"max_steps is {max_steps}; choose at most {MAX_STEPS}, and a finite time")
    if method == "flow" and rtol < MIN_RTOL:
        raise UsageError(f"rtol is {rtol}; choose at least {MIN_RTOL}")
    reduced, overlap, orthogonal = project(model, draw)
    if not math.isfinite(reduced.losses(overlap, orthogonal)["total"]):
        raise UsageError(
            "the loss of this draw is too large for floating point; choose a smaller one"
        )
    if method == "descent":
        states, status = descend(
            reduced, overlap, orthogonal, step=step, threshold=threshold, max_steps=max_steps
        )
        times = step * np.arange(states.shape[1], dtype=float)
        stopped_at = float(len(times) - 1)
    else:
        times, states, status = flow(
            reduced,
            overlap,
            orthogonal,
            t_max=step * max_steps,
            threshold=threshold,
            rtol=rtol,
            atol=atol,
        )
        stopped_at = float(times[-1])
    if status is Status.LIMIT and not np.any(reduced.velocity(overlap, orthogonal)):
        status = Status.AT_REST
    u, w = states[: len(overlap)], states[len(overlap) :]
    with np.errstate(over="ignore", invalid="ignore"):  # where descent has diverged
        losses = reduced.losses(list(u), list(w))
    settings: dict[str, Any] = {"step": step, "threshold": threshold, "max_steps": max_steps}
    if method == "flow":
        settings |= {"rtol": rtol, "atol": atol}
    provenance = {
        "method": method,
        **settings,
        "draw": draw.source,
        "versions": {name: version(name) for name in ("coopetition", "numpy", "scipy")},
    }
    return Trajectory(
        model,
        times,
        u,
        w,
        losses,
        draw.dims,
        dict(reduced.norms),
        status,
        stopped_at if status is Status.STOPPED else None,
        provenance,
    )


def descend(
    reduced: Reduced,
    overlap: list[float],
    orthogonal: list[float],
    *,
    step: float,
    threshold: float,
    max_steps: int,
) -> tuple[Array, Status]:
    """States (2 * n_factors, n) of gradient descent, overlaps first, and how it ended."""
    u: Numbers = list(overlap)
    w: Numbers = list(orthogonal)
    states = [u + w]
    status = Status.LIMIT
    for done in range(max_steps + 1):
        total = reduced.losses(u, w)["total"]
        if total < threshold:
            status = Status.STOPPED
            break
        if not total < DIVERGED:  # also catches NaN
            status = Status.DIVERGED
            break
        if done < max_steps:
            speed_u, speed_w = reduced.velocity(u, w)
            u = [x + step * v for x, v in zip(u, speed_u, strict=True)]
            w = [x + step * v for x, v in zip(w, speed_w, strict=True)]
            states.append(u + w)
    return np.array(states).T, status


def flow(
    reduced: Reduced,
    overlap: list[float],
    orthogonal: list[float],
    *,
    t_max: float,
    threshold: float,
    rtol: float,
    atol: float,
) -> tuple[Array, Array, Status]:
    """Times (n,) and states (2 * n_factors, n) of gradient flow, and how it ended."""
    n = len(overlap)

    from scipy.integrate import solve_ivp  # slow to import, and only the flow needs it

    n_evaluations = 0

    def velocity(_: float, state: Array) -> list[float]:
        nonlocal n_evaluations
        n_evaluations += 1
        values = state.tolist()
        speed_u, speed_w = reduced.velocity(values[:n], values[n:])
        return speed_u + speed_w

    def above_threshold(_: float, state: Array) -> float:
        values = state.tolist()
        return reduced.losses(values[:n], values[n:])["total"] - threshold

    def within_budget(_: float, state: Array) -> float:
        return float(MAX_EVALUATIONS - n_evaluations)

    above_threshold.terminal = within_budget.terminal = True  # type: ignore[attr-defined]
    start = np.array(overlap + orthogonal)
    if above_threshold(0.0, start) < 0:
        return np.zeros(1), start[:, None], Status.STOPPED
    solution = solve_ivp(
        velocity,
        (0.0, t_max),
        start,
        "LSODA",
        events=(above_threshold, within_budget),
        rtol=rtol,
        atol=atol,
    )
    if solution.status == 0:
        status = Status.LIMIT
    else:
        status = Status.STOPPED if len(solution.t_events[0]) else Status.FAILED
    return solution.t, solution.y, status
