"""Gradient descent of one problem.

Gradient flow of one problem, by scipy's LSODA.

Solving the minimal model: gradient descent or gradient flow on the exact reduction.

The published runs are descent with step 1.  The flow is its limit of small steps; in the published
regime the two differ by up to 2e-2 in ICL's loss around its emergence: say which one a number is.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from coopetition.dynamics.events import DIVERGED
from coopetition.dynamics.trajectory import Array, Status, Trajectory, finish, pose
from coopetition.model.graph import Model
from coopetition.model.initial_state import Draw
from coopetition.model.reduced import Problem
from coopetition.tools.checks import check_int, check_number, check_real_array
from coopetition.tools.errors import UsageError

MAX_STEPS = 10**6  # every state is kept
BETWEEN_INTERRUPTS = 2**16  # steps: some tens of milliseconds


def descend(
    model: Model,
    draw: Draw,
    *,
    n_steps: int = 16000,
    step: float = 1.0,
    threshold: float = 0.0,
) -> Trajectory:
    """Take `n_steps` steps of gradient descent, or stop at the first loss below `threshold`.

    step : step size; one step is `step` units of flow time.  Every step is kept.
    """
    n_steps = check_int("n_steps", n_steps, 1, MAX_STEPS)
    step = check_number("step", step, positive=True)
    threshold = check_number("threshold", threshold)
    problem = pose(model, draw)
    states, status = _follow(problem, n_steps, step, threshold)
    settings = {"method": "descent", "step": step, "threshold": threshold, "draw": draw.source}
    times = step * np.arange(len(states), dtype=np.float64)
    return finish(problem, times, states.T, status, len(states) - 1, settings)


def _follow(problem: Problem, n_steps: int, step: float, threshold: float) -> tuple[Array, Status]:
    """Every state, (n, 2 * n_factors), and how it ended."""
    from coopetition.dynamics import steps  # numba is slow to import

    parts, state, left = [], problem.start, n_steps
    while True:
        # compiled code hears no interrupt, so it comes back now and then
        now = min(left, BETWEEN_INTERRUPTS)
        states, ending = steps.take_steps(problem, state, now, step, threshold, DIVERGED)
        left -= now
        if ending != steps.GOES_ON or not left:
            break
        parts.append(states[:-1])
        state = state.with_entries(states[-1].tolist())
    status = {steps.STOPPED: Status.STOPPED, steps.DIVERGED: Status.DIVERGED}
    return np.concatenate([*parts, states]), status.get(ending, Status.LIMIT)


MIN_RTOL = 1e-13  # what the integrator can keep
MAX_EVALUATIONS = 250_000  # of the flow's velocity, some ten seconds: a stiffer problem has failed


def flow(
    model: Model,
    draw: Draw,
    *,
    t1: float = 16000.0,
    ts: ArrayLike | None = None,
    threshold: float = 1e-6,
    rtol: float = 1e-9,
    atol: float = 1e-12,
) -> Trajectory:
    """Follow d(state)/dt = -rate * gradient until the time `t1`, or the loss is at `threshold`.

    ts : times that are among the samples, besides the integrator's own; `Trajectory.samples_at`
        finds them
    """
    t1 = check_number("t1", t1, positive=True)
    threshold = check_number("threshold", threshold)
    rtol = check_number("rtol", rtol, positive=True)
    atol = check_number("atol", atol, positive=True)
    if rtol < MIN_RTOL:
        raise UsageError(f"rtol is {rtol}; choose at least {MIN_RTOL}")
    besides = np.empty(0) if ts is None else check_times(ts, t1)
    problem = pose(model, draw)
    times, states, status = _integrate(problem, t1, besides, threshold, rtol, atol)
    settings = {"method": "flow", "t1": t1, "threshold": threshold, "rtol": rtol, "atol": atol}
    return finish(problem, times, states, status, None, settings | {"draw": draw.source})


def check_times(ts: ArrayLike, t1: float) -> Array:
    """`ts` as an array; `UsageError` unless they ascend from 0 or later to `t1` or earlier."""
    times = np.atleast_1d(check_real_array("ts", ts))
    if times.ndim != 1 or not len(times) or not (np.diff(times, prepend=-1.0) > 0).all():
        raise UsageError("ts must be at least one time, ascending from 0 or later")
    if not (times[0] >= 0 and times[-1] <= t1):
        raise UsageError(f"ts ends at {times[-1]}, and t1 is {t1}; choose times from 0 to t1")
    return times


def _integrate(
    problem: Problem, t1: float, ts: Array, threshold: float, rtol: float, atol: float
) -> tuple[Array, Array, Status]:
    """Times (n,) and states (2 * n_factors, n), and how it ended."""
    from scipy.integrate import LSODA  # slow to import, and only the flow needs it

    n_evaluations = 0

    def velocity(_: float, entries: Array) -> list[float]:
        nonlocal n_evaluations
        n_evaluations += 1
        return problem.velocity(problem.start.with_entries(entries.tolist())).entries

    def distance(entries: Array) -> float:
        return problem.losses(problem.start.with_entries(entries.tolist()))["total"] - threshold

    start = np.array(problem.start.entries)
    times, states = [0.0], [start]
    if distance(start) < 0:
        return np.array(times), start[:, None], Status.STOPPED
    solver = LSODA(velocity, 0.0, start, t1, rtol=rtol, atol=atol)
    status = None
    while status is None:
        if n_evaluations > MAX_EVALUATIONS:
            status = Status.FAILED
            break
        solver.step()
        if solver.status == "failed":
            status = Status.FAILED
            break
        t_old, t, y = float(solver.t_old), float(solver.t), solver.y  # type: ignore[arg-type]
        if distance(y) < 0:
            status = Status.STOPPED
            inside = solver.dense_output()
            t = _root(lambda at, inside=inside: distance(inside(at)), t_old, t)
            y = inside(t)
        elif solver.status == "finished":
            status = Status.LIMIT
        within = ts[(ts > t_old) & (ts < t)]
        times += [*within.tolist(), t]
        states += [*(solver.dense_output()(within).T if len(within) else []), y]
    return np.array(times), np.array(states).T, status


def _root(distance: Callable[[float], float], t_old: float, t: float) -> float:
    """Where a step crosses the threshold, to rounding."""
    from scipy.optimize import brentq

    if distance(t) >= 0:  # the interpolant is not quite the step's end
        return t
    precision = 4 * np.finfo(float).eps
    return float(brentq(distance, t_old, t, xtol=precision, rtol=precision))  # type: ignore[arg-type]


Method = Literal["descent", "flow"]
ROUNDING = 1e-12  # 0.3 / 0.1 is a little below 3


def solve(
    model: Model,
    draw: Draw,
    *,
    method: Method = "descent",
    t1: float = 16000.0,
    ts: ArrayLike | None = None,
    step: float = 1.0,
    threshold: float = 1e-6,
    rtol: float = 1e-9,
    atol: float = 1e-12,
) -> Trajectory:
    """Follow the model from a draw until its loss is below `threshold`, or until the time `t1`.

    Parameters
    ----------
    method : "descent" takes steps; "flow" integrates d(state)/dt = -rate * gradient
    t1 : the end, in flow time.  Descent takes the whole steps that fit, at least one.
    ts : times that are among the samples of the flow, besides the integrator's own; descent keeps
        every step.  `Trajectory.samples_at` finds them.
    step : step size of descent; one step is `step` units of flow time
    threshold : stop at the first step (or time) whose total loss is below this
    rtol, atol : tolerances of the flow

    Raises
    ------
    UsageError : a setting that is not a finite number, or out of range
    """
    if method not in get_args(Method):
        raise UsageError(
            f"method {method!r} is unknown; choose one of {', '.join(get_args(Method))}"
        )
    if method == "flow":
        return flow(model, draw, t1=t1, ts=ts, threshold=threshold, rtol=rtol, atol=atol)
    step = check_number("step", step, positive=True)
    t1 = check_number("t1", t1, positive=True)
    if ts is not None:
        check_times(ts, t1)
    if t1 / step > MAX_STEPS:
        raise UsageError(
            f"t1 is {t1}, which takes {t1 / step:.3g} steps; choose a time of at most {MAX_STEPS} "
            "steps, or the flow"
        )
    n_steps = math.floor(t1 / step * (1 + ROUNDING))
    if n_steps < 1:
        raise UsageError(f"t1 is {t1}, and one step is {step}; choose a time of at least one step")
    return descend(model, draw, n_steps=n_steps, step=step, threshold=threshold)
