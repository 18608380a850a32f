"""Gradient flow of one problem, by scipy's LSODA."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from coopetition.dynamics.trajectory import Array, Status, Trajectory, finish, pose
from coopetition.model.declaration import Model, check_number
from coopetition.model.draws import Draw, real_numbers
from coopetition.model.problem import Problem
from coopetition.tools.errors import UsageError

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
    times = np.atleast_1d(real_numbers("ts", ts))
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
