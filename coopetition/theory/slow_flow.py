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

from coopetition.model.presets import CIWL, ICL
from coopetition.model.problem import Numbers, Reduced
from coopetition.theory.timescales import A, D, State, check_known, larger_and_smaller
from coopetition.tools.errors import UsageError, UserError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Times:
    """Flow times at which losses cross half of what they are unlearnt; None if they do not.

    emergence : ICL's falls;  takeover : CIWL's falls;  fade : ICL's rises again
    """

    emergence: float | None
    takeover: float | None
    fade: float | None


@dataclass(frozen=True, slots=True)
class SlowFlow:
    """The slow system from a state on.

    losses : name -> (n,) at the integrator's own steps;  events : their times
    """

    events: Times
    losses: dict[str, Array]


def slow_times(reduced: Reduced, state: State, *, t_max: float = 1e7) -> Times:
    """Emergence, takeover and fade from a state after the collapse, by the slow system."""
    return slow_flow(reduced, state, t_max=t_max).events


def slow_flow(reduced: Reduced, state: State, *, t_max: float) -> SlowFlow:
    """The flow from a state after the collapse until the time `t_max`, by the slow system.

    Five numbers: u_a, u of the smaller shared factor (c, say), the cosine of b, u_d and w_d.
    Assumes that a and c are along their targets (w = 0) and that |b|^2 - |c|^2 keeps its value.
    Times are counted from the trajectory's start.  Raises `UserError` if the integrator fails.
    """
    from scipy.integrate import solve_ivp

    check_known(reduced)
    larger, smaller = larger_and_smaller(state)
    if not state.time <= t_max < math.inf:
        raise UsageError(f"t_max is {t_max}; choose a finite time from {state.time:g} on")
    if state.lengths[larger] == 0:
        raise UsageError("b and c are zero at this state, which nothing leaves")
    delta = state.lengths[larger] ** 2 - state.lengths[smaller] ** 2
    half = {name: value / 2 for name, value in reduced.unlearnt().items()}

    def unfold(slow: Array) -> tuple[Numbers, Numbers]:
        """The eight numbers from the five, each one number or an array."""
        a, c, cosine, u_d, w_d = slow
        length = np.sqrt(delta + c * c)
        u, w = [a, 0.0, 0.0, u_d], [0.0, 0.0, 0.0, w_d]
        u[smaller], u[larger] = c, length * cosine
        w[larger] = length * np.sqrt(np.maximum(0.0, 1 - cosine * cosine))
        return u, w

    def velocity(_: float, slow: Array) -> list[float]:
        u, w = unfold(slow)
        speed_u, speed_w = reduced.velocity(u, w)
        b, w_b = u[larger], w[larger]
        turning = (w_b * speed_u[larger] - b * speed_w[larger]) * w_b / math.hypot(b, w_b) ** 3
        return [speed_u[A], speed_u[smaller], turning, speed_u[D], speed_w[D]]

    def above_half(name: str) -> Any:
        return lambda _, slow: reduced.losses(*unfold(slow))[name] - half[name]

    emergence, takeover, fade = above_half(ICL), above_half(CIWL), above_half(ICL)
    emergence.direction = takeover.direction = -1
    fade.direction = 1
    start = np.array(
        [
            state.overlap[A],
            state.overlap[smaller],
            state.overlap[larger] / state.lengths[larger],
            state.overlap[D],
            state.orthogonal[D],
        ]
    )
    found = solve_ivp(
        velocity,
        (state.time, t_max),
        start,
        "LSODA",
        events=(emergence, takeover, fade),
        rtol=1e-7,
        atol=1e-10,
    )
    if not found.success:
        raise UserError(f"the slow system could not be followed: {found.message}")
    events = Times(*(float(times[0]) if len(times) else None for times in found.t_events))
    return SlowFlow(events, reduced.losses(*unfold(found.y)))
