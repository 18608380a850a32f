"""Gradient descent of one problem."""

import numpy as np

from coopetition.dynamics.outcomes import DIVERGED
from coopetition.dynamics.trajectory import Array, Status, Trajectory, finish, pose
from coopetition.model.declaration import Model, check_number, check_whole
from coopetition.model.draws import Draw
from coopetition.model.problem import Problem

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
    n_steps = check_whole("n_steps", n_steps, 1, MAX_STEPS)
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
