"""Gradient descent of one problem."""

import numpy as np
from numpy.typing import ArrayLike

from coopetition.model.declaration import Model, check_number, check_whole
from coopetition.model.draws import Draw
from coopetition.solve.outcomes import DIVERGED
from coopetition.solve.trajectory import Status, Trajectory, finish, pose

MAX_STEPS = 10**6  # every state is kept


def descend(
    model: Model,
    draw: Draw,
    *,
    n_steps: int = 16000,
    step: float = 1.0,
    threshold: float = 0.0,
    at_steps: ArrayLike | None = None,
) -> Trajectory:
    """Take `n_steps` steps of gradient descent, or stop at the first loss below `threshold`.

    step : step size; one step is `step` units of flow time
    at_steps : steps that are kept, besides the last (rounded); all without
    """
    n_steps = check_whole("n_steps", n_steps, 1, MAX_STEPS)
    check_number("step", step, positive=True)
    check_number("threshold", threshold)
    problem = pose(model, draw)
    state, status = problem.start, Status.LIMIT
    states = [state.entries]
    for done in range(n_steps + 1):
        total = problem.losses(state)["total"]
        if total < threshold:
            status = Status.STOPPED
            break
        if not total < DIVERGED:  # also catches NaN
            status = Status.DIVERGED
            break
        if done < n_steps:
            state = state.moved(step, problem.velocity(state))
            states.append(state.entries)
    settings = {"method": "descent", "step": step, "threshold": threshold, "draw": draw.source}
    kept = np.arange(len(states))
    if at_steps is not None:
        asked = np.rint(at_steps).astype(int)
        kept = np.union1d(asked[asked < len(states)], kept[-1:])
    times = step * kept.astype(float)
    return finish(problem, times, np.array(states).T[:, kept], status, len(states) - 1, settings)
