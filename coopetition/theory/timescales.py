"""How long it takes: the collapse, the plateau until ICL emerges, the takeover by CIWL.

All for `two_strategies`.  The published draws have large orthogonal parts, above all in d (160
entries), and so the story is not that of small initial values (`elliptic_escape`):

1. *Collapse.*  CIWL's error shrinks the shared factors.  As |b|^2 - |c|^2 is conserved, only the
   smaller of the two, say c, can vanish; b keeps |b|^2 = delta.  a dies of competition with d.
2. *Plateau.*  c follows the others: c = S2 x_d x_b / (|d| |b|) along c*, with x the cosine between
   a factor and its target.  It lets d and b turn slowly to their targets at constant lengths:

       d(u_d^2)/dt = d(u_b^2)/dt = 4 k2 (k1 + mu1) u_d^2 u_b^2 / (|d|^2 |b|^2)

   as long as the cosines are small, so that u_b^2 - u_d^2 is constant, and the time until they are
   not is `escape_time`, in closed form.  In words: *the plateau is the turning of the shared factor
   by CIWL*.  ICL takes off when c has grown.
3. *Takeover.*  On the ICL manifold d grows along d* under mu1 and under what the competition leaves
   of L1, until ICL is pushed out.

Both 2 and 3 are carried by five of the eight numbers (`slow_times`): after the collapse a and c are
along their targets, and the balance ties |b| to |c|.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.model.presets import CIWL, ICL, is_two_strategies
from coopetition.model.problem import Numbers, Reduced
from coopetition.solve.trajectory import Trajectory
from coopetition.tools.errors import UsageError, UserError

Array = NDArray[np.float64]
A, B, C, D = range(4)  # places of the factors


@dataclass(frozen=True, slots=True)
class Times:
    """Flow times at which losses cross half of what they are unlearnt; None if they do not.

    emergence : ICL's falls;  takeover : CIWL's falls;  fade : ICL's rises again
    """

    emergence: float | None
    takeover: float | None
    fade: float | None


@dataclass(frozen=True, slots=True)
class State:
    """A state at a time, as lists in the order of the factors."""

    time: float
    overlap: list[float]
    orthogonal: list[float]

    @property
    def lengths(self) -> list[float]:
        """|x| of each factor."""
        return [math.hypot(u, w) for u, w in zip(self.overlap, self.orthogonal, strict=True)]


def after_collapse(trajectory: Trajectory) -> State:
    """Where the shared circuit |b| |c| is smallest, before ICL has emerged: the collapse's end."""
    _check(trajectory.reduced)
    squares = trajectory.overlap**2 + trajectory.orthogonal**2
    emergence = trajectory.events().emergence
    before = trajectory.times <= (math.inf if emergence is None else emergence)
    k = int(np.argmin((squares[B] * squares[C])[before]))
    return state_at(trajectory, k)


def state_at(trajectory: Trajectory, k: int) -> State:
    """A trajectory's sample `k`."""
    return State(
        float(trajectory.times[k]),
        trajectory.overlap[:, k].tolist(),
        trajectory.orthogonal[:, k].tolist(),
    )


def _check(reduced: Reduced) -> None:
    if not is_two_strategies(reduced.model) or set(reduced.model.rates) != {1.0}:
        raise UsageError("times are known for two_strategies with rates of 1 alone")


def collapse_time(reduced: Reduced, start: State) -> float:
    """How long the collapse takes, from the draw: an order of magnitude.

    |c|^2 = r falls as dr/dt = -2 l r (r + delta) with l = (k1 + mu1) |d|^2 / N2, until it meets
    what c follows on the plateau.  Takes L1 = k1 throughout and ignores a; |d| is that after the
    fall.  Raises `UsageError` where |d| is not larger than the smaller shared factor, or that is as
    large as the other: then the story is another one.  Infinite without an overlap of d or b.
    """
    _check(reduced)
    larger, smaller = _shared(start)
    squares = [x * x for x in start.lengths]
    delta = squares[larger] - squares[smaller]
    d2 = squares[D] - squares[smaller]
    if min(delta, d2) <= 0:
        raise UsageError(
            f"the lengths of b, c, d are {start.lengths[1:]}; this collapse needs |b| and |c| to "
            "differ and |d| to be above the smaller of them"
        )
    rate = (reduced.unlearnt()[ICL] + reduced.offsets[ICL]) * d2 / reduced.sizes[CIWL]
    aligned = start.overlap[D] ** 2 / squares[D] * start.overlap[larger] ** 2 / squares[larger]
    if aligned == 0:
        return math.inf
    followed = reduced.targets[CIWL] ** 2 * aligned / (d2 * delta)
    passed = math.log1p(delta / followed) - math.log1p(delta / squares[smaller])
    return max(0.0, passed / (2 * rate * delta))


def _shared(state: State) -> tuple[int, int]:
    """Places of the larger and the smaller of b and c."""
    lengths = state.lengths
    return (B, C) if lengths[B] >= lengths[C] else (C, B)


def escape_time(reduced: Reduced, state: State) -> float:
    """How long the plateau lasts from a state after the collapse, in closed form.

        |d|^2 |b|^2 ln(u_b^2 / u_d^2) / [4 k2 (k1 + mu1) (u_b^2 - u_d^2)]

    with b the larger of the two shared factors.  Assumes small cosines, c at its followed value,
    and that a turns nothing.  Infinite without an overlap of d or b.
    """
    _check(reduced)
    larger, _ = _shared(state)
    lengths, unlearnt = state.lengths, reduced.unlearnt()
    coupling = 4 * unlearnt[CIWL] * (unlearnt[ICL] + reduced.offsets[ICL])
    b2, d2 = state.overlap[larger] ** 2, state.overlap[D] ** 2
    if b2 * d2 == 0:
        return math.inf
    ratio = b2 / d2
    # ln(r) / (r - 1) is 1 at r = 1, where the formula itself is 0 / 0
    slope = math.log(ratio) / (ratio - 1) if abs(ratio - 1) > 1e-6 else 1.0
    return (lengths[D] * lengths[larger]) ** 2 * slope / (coupling * d2)


def elliptic_escape(reduced: Reduced, overlap: Numbers) -> float:
    """How long the plateau lasts near the origin, without orthogonal parts: R_F(v^2, b^2, c^2) / g.

    What is learnt after it, ICL or CIWL alone, is not said.

    There dv/dt = g b c and its permutations, with v = (g1 a + g2 d) / g, g = hypot(g1, g2),
    g1 = (k2 + mu2) S1 / N1 and g2 = (k1 + mu1) S2 / N2.  Exact as the initial values shrink, for
    v b c > 0; R_F is Carlson's elliptic integral.
    """
    from scipy.special import elliprf

    _check(reduced)
    unlearnt, offset = reduced.unlearnt(), reduced.offsets
    target, size = reduced.targets, reduced.sizes
    g1 = (unlearnt[CIWL] + offset[CIWL]) * target[ICL] / size[ICL]
    g2 = (unlearnt[ICL] + offset[ICL]) * target[CIWL] / size[CIWL]
    g = math.hypot(g1, g2)
    v = (g1 * overlap[A] + g2 * overlap[D]) / g
    if not v * overlap[B] * overlap[C] > 0:
        raise UsageError(
            "v b c is not positive at this start; the plateau does not end by it alone"
        )
    return float(elliprf(v * v, overlap[B] ** 2, overlap[C] ** 2)) / g


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

    _check(reduced)
    larger, smaller = _shared(state)
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
