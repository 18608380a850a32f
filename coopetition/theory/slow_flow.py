"""The slow system: five of the eight numbers carry `two_strategies` from the collapse's end on.

After the collapse a and c (the smaller of the shared factors) are along their targets, and the
balance ties |b| to |c|.  What is left are u_a, u_c, the cosine of b, u_d and w_d.  The state to
start from is not predicted, but found in a simulation (`timescales.after_collapse`).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.outcomes import Events, excess
from coopetition.model.presets import CIWL, ICL
from coopetition.model.problem import Number, Problem, State
from coopetition.theory.timescales import check_known, larger_and_smaller
from coopetition.tools.errors import UsageError, UserError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SlowFlow:
    """The slow system from a state on.

    events : emergence, takeover and unlearning
    losses : name -> (n,) at the integrator's own steps
    """

    events: Events
    losses: dict[str, Array]


def slow_times(problem: Problem, state: State, *, t_max: float = 1e7) -> Events:
    """Emergence, takeover and unlearning from a state after the collapse, by the slow system."""
    return slow_flow(problem, state, t_max=t_max).events


def slow_flow(problem: Problem, state: State, *, t_max: float) -> SlowFlow:
    """The flow from a state after the collapse until the time `t_max`, by the slow system.

    Five numbers: u_a, u of the smaller shared factor (c, say), the cosine of b, u_d and w_d.
    Assumes that a and c are along their targets (w = 0) and that |b|^2 - |c|^2 keeps its value.
    Times are counted from the trajectory's start.  Raises `UserError` if the integrator fails.
    """
    from scipy.integrate import solve_ivp

    check_known(problem)
    larger, smaller = larger_and_smaller(state)
    if not state.time <= t_max < math.inf:
        raise UsageError(f"t_max is {t_max}; choose a finite time from {state.time:g} on")
    if state[larger].square == 0:
        raise UsageError("b and c are zero at this state, which nothing leaves")
    delta = state[larger].square - state[smaller].square
    unlearnt = problem.unlearnt()

    def unfold(slow: Any) -> State:
        """The eight numbers from the five, each one number or an array."""
        a, c, cosine, u_d, w_d = slow
        length = np.sqrt(delta + c * c)
        turned = length * np.sqrt(np.maximum(0.0, 1 - cosine * cosine))
        parts: dict[str, tuple[Number, Number]] = {
            "a": (a, 0.0),
            "b": (0.0, 0.0),
            "c": (0.0, 0.0),
            "d": (u_d, w_d),
        }
        parts[smaller], parts[larger] = (c, 0.0), (length * cosine, turned)
        u, w = ([part[k] for part in parts.values()] for k in (0, 1))
        return State(tuple(parts), u, w)

    def velocity(_: float, slow: Array) -> list[float]:
        at = unfold(slow)
        speed = problem.velocity(at)
        (b, w_b), (speed_b, speed_w_b) = at[larger], speed[larger]
        turning = (w_b * speed_b - b * speed_w_b) * w_b / math.hypot(b, w_b) ** 3
        return [speed["a"].overlap, speed[smaller].overlap, turning, *speed["d"]]

    def unlearnt_yet(name: str) -> Any:
        return lambda _, slow: excess(problem.losses(unfold(slow))[name], unlearnt[name])

    emergence, takeover, unlearning = map(unlearnt_yet, (ICL, CIWL, ICL))
    emergence.direction = takeover.direction = -1
    unlearning.direction = 1
    start = np.array(
        [
            state["a"].overlap,
            state[smaller].overlap,
            state[larger].overlap / state[larger].length,
            *state["d"],
        ]
    )
    found = solve_ivp(
        velocity,
        (state.time, t_max),
        start,
        "LSODA",
        events=(emergence, takeover, unlearning),
        rtol=1e-7,
        atol=1e-10,
    )
    if not found.success:
        raise UserError(f"the slow system could not be followed: {found.message}")
    times = (float(each[0]) if len(each) else None for each in found.t_events)
    came, taken, unlearnt_at = times
    events = Events(came, unlearning=unlearnt_at, takeover=taken)
    return SlowFlow(events, problem.losses(unfold(found.y)))
