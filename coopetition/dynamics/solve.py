"""Solve the minimal model: gradient descent or gradient flow of one problem, on the reduction.

The published runs are descent with step 1.  The flow is its limit of small steps; in the published
regime the two differ by up to 2e-2 in ICL's loss around its emergence: say which one a number is.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from coopetition.dynamics.events import DIVERGED_ABOVE
from coopetition.dynamics.trajectory import (
    Array,
    Status,
    Trajectory,
    build_trajectory,
    make_problem,
)
from coopetition.model import reduced
from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState
from coopetition.model.reduced import Problem, ProblemTables
from coopetition.tools.checks import check_int, check_number, check_real_array
from coopetition.tools.errors import UsageError

Method = Literal["descent", "flow"]
MAX_STEPS = 10**6  # every state is kept
BETWEEN_INTERRUPTS = 2**16  # steps: some tens of milliseconds
MIN_RTOL = 1e-13  # the integrator's limit
MAX_EVALUATIONS = 250_000  # of the flow's velocity, some ten seconds: a stiffer problem has failed
ROUNDING = 1e-12  # 0.3 / 0.1 is a little below 3
ENDINGS = {reduced.BELOW_THRESHOLD: Status.STOPPED, reduced.DIVERGED: Status.DIVERGED}


def solve(
    model: Model,
    draw: InitialState,
    *,
    method: Method = "descent",
    t1: float = 16000.0,
    ts: ArrayLike | None = None,
    step: float = 1.0,
    threshold: float = 1e-6,
    rtol: float = 1e-9,
    atol: float = 1e-12,
) -> Trajectory:
    """Follow the model from an initial state until its loss is below `threshold`, or time `t1`.

    Parameters
    ----------
    method : "descent" takes steps; "flow" integrates d(state)/dt = -rate * gradient
    t1 : the end, in flow time.  Descent takes the whole steps that fit, at least one.
    ts : times among the samples of the flow, besides the integrator's own; descent keeps every
        step.  `Trajectory.samples_at` finds them.
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
    t1 = check_number("t1", t1, positive=True)
    extra_times = np.empty(0) if ts is None else _check_times(ts, t1)
    if method == "flow":
        return _flow(model, draw, t1, extra_times, threshold, rtol, atol)
    step = check_number("step", step, positive=True)
    if t1 / step > MAX_STEPS:
        raise UsageError(
            f"t1 is {t1}, which takes {t1 / step:.3g} steps; choose a time of at most {MAX_STEPS} "
            "steps, or the flow"
        )
    n_steps = math.floor(t1 / step * (1 + ROUNDING))
    if n_steps < 1:
        raise UsageError(f"t1 is {t1}, and one step is {step}; choose a time of at least one step")
    return descend(model, draw, n_steps=n_steps, step=step, threshold=threshold)


def descend(
    model: Model,
    draw: InitialState,
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
    problem = make_problem(model, draw)
    states = np.empty((n_steps + 1, len(problem.start.entries)))
    states[0] = problem.start.entries
    done, ending = 0, reduced.AT_LIMIT
    while done < n_steps and ending == reduced.AT_LIMIT:
        # compiled code cannot be interrupted, so it returns now and then
        part = states[done : done + BETWEEN_INTERRUPTS + 1]
        rows, ending = _descend_compiled(problem, part, step, threshold)
        done += rows
    settings = {"method": "descent", "step": step, "threshold": threshold, "draw": draw.source}
    times, status = step * np.arange(done + 1.0), ENDINGS.get(ending, Status.LIMIT)
    return build_trajectory(problem, times, states[: done + 1].T, status, done, settings)


def _descend_compiled(
    problem: Problem, states: Array, step: float, threshold: float
) -> tuple[int, int]:
    """Call `reduced.descend_states`."""
    from coopetition.tools.compiled_code import ensure_compiled

    members, pairs, mechanisms, costs = problem.tables
    padded = np.full((len(members), max(map(len, members))), -1)
    for row, factors in zip(padded, members, strict=True):
        row[: len(factors)] = factors
    tables = ProblemTables(
        padded,
        np.array(pairs, int).reshape(-1, 2),
        np.array(mechanisms, float),
        np.array(costs, float).reshape(-1, 2),
    )
    rates = np.array(problem.model.rates)
    arguments = states, tables, rates, step, threshold, DIVERGED_ABOVE
    return ensure_compiled(_descent_kernel(), "gradient descent", *arguments)(*arguments)


@cache
def _descent_kernel() -> Any:
    """Return `reduced.descend_states` as a function of numba, which is slow to import."""
    from numba.extending import register_jitable

    from coopetition.tools.compiled_code import NUMPY, jit

    for function in reduced.ARITHMETIC:
        register_jitable(forceinline=True, **NUMPY)(function)
    return jit(reduced.descend_states)


def _flow(
    model: Model,
    draw: InitialState,
    t1: float,
    extra_times: Array,
    threshold: float,
    rtol: float,
    atol: float,
) -> Trajectory:
    threshold = check_number("threshold", threshold)
    rtol = check_number("rtol", rtol, positive=True)
    atol = check_number("atol", atol, positive=True)
    if rtol < MIN_RTOL:
        raise UsageError(f"rtol is {rtol}; choose at least {MIN_RTOL}")
    problem = make_problem(model, draw)
    times, states, status = _integrate(problem, t1, extra_times, threshold, rtol, atol)
    settings = {"method": "flow", "t1": t1, "threshold": threshold, "rtol": rtol, "atol": atol}
    settings |= {"draw": draw.source}
    return build_trajectory(problem, times, states, status, None, settings)


def _check_times(ts: ArrayLike, t1: float) -> Array:
    """Return `ts` as an array; raise `UsageError` unless they ascend within 0 and `t1`."""
    times = np.atleast_1d(check_real_array("ts", ts))
    if times.ndim != 1 or not len(times) or not (np.diff(times, prepend=-1.0) > 0).all():
        raise UsageError("ts must be at least one time, ascending from 0 or later")
    if not (times[0] >= 0 and times[-1] <= t1):
        raise UsageError(f"ts ends at {times[-1]}, and t1 is {t1}; choose times from 0 to t1")
    return times


def _integrate(
    problem: Problem, t1: float, ts: Array, threshold: float, rtol: float, atol: float
) -> tuple[Array, Array, Status]:
    """Return times (n,), states (2 * n_factors, n), and how the flow ended."""
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
        is_exhausted = n_evaluations > MAX_EVALUATIONS
        if not is_exhausted:
            solver.step()
        if is_exhausted or solver.status == "failed":
            status = Status.FAILED
            break
        t_old, t, y = float(solver.t_old), float(solver.t), solver.y  # type: ignore[arg-type]
        if distance(y) < 0:
            status, inside = Status.STOPPED, solver.dense_output()
            if distance(inside(t)) < 0:  # the interpolant is not quite the end of the step
                t = _crossing(lambda at, inside=inside: distance(inside(at)), t_old, t)
            y = inside(t)
        elif solver.status == "finished":
            status = Status.LIMIT
        between = ts[(ts > t_old) & (ts < t)]
        times += [*between.tolist(), t]
        states += [*(solver.dense_output()(between).T if len(between) else []), y]
    return np.array(times), np.array(states).T, status


def _crossing(distance: Callable[[float], float], first: float, last: float) -> float:
    """Return the zero of a function between two times, to rounding."""
    from scipy.optimize import brentq

    precision = 4 * np.finfo(float).eps
    return float(brentq(distance, first, last, xtol=precision, rtol=precision))  # type: ignore[arg-type]
