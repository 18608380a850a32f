"""Solving the minimal model: gradient descent or gradient flow on the exact reduction.

The published runs are descent with step 1.  The flow is its limit of small steps; in the published
regime the two differ by up to 2e-2 in ICL's loss around its emergence: say which one a number is.
"""

import math
from typing import Literal, get_args

from numpy.typing import ArrayLike

from coopetition.dynamics.descent import MAX_STEPS, descend
from coopetition.dynamics.flow import check_times, flow
from coopetition.dynamics.trajectory import Trajectory
from coopetition.model.declaration import Model, check_number
from coopetition.model.draws import Draw
from coopetition.tools.errors import UsageError

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
