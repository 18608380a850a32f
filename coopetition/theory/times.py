"""Times of `two_strategies`: closed forms of collapse and plateau, and the slow system.

The published draws have large orthogonal parts, above all in d (160 entries).  Therefore small
initial values (`elliptic_escape`) do not describe them: the shared factors collapse, and CIWL then
turns them slowly to their targets (docs/theory.md, section 9).

Five of the eight numbers carry the flow from the collapse's end on: the slow system.  There, a and
c (the smaller of the shared factors) are along their targets, and the balance ties |b| to |c|.  The
others are u_a, u_c, the cosine of b, u_d and w_d.  Their state at the start is not predicted: it
comes from a simulation (`after_collapse`).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.events import Events, excess
from coopetition.dynamics.trajectory import Trajectory
from coopetition.model.presets import CIWL, ICL, is_two_strategies
from coopetition.model.reduced import Number, Problem, State
from coopetition.tools.errors import UsageError, UserError

Array = NDArray[np.float64]


def after_collapse(trajectory: Trajectory) -> State:
    """Return the collapse's end: where |b| |c| is smallest before ICL has emerged.

    Predictions that start here use a *simulated* state, and the simulated emergence to find it.
    """
    check_known(trajectory.problem)
    states = trajectory.states
    emergence = trajectory.events().emergence
    before = trajectory.times <= (math.inf if emergence is None else emergence)
    k = int(np.argmin((states["b"].square * states["c"].square)[before]))
    return trajectory.state(k)


def check_known(problem: Problem) -> None:
    """Raise `UsageError` unless the model is one whose times are known."""
    if not is_two_strategies(problem.model) or set(problem.model.rates) != {1.0}:
        raise UsageError("times are known only for two_strategies with rates of 1")


def collapse_time(problem: Problem, start: State) -> float:
    """Return an order of magnitude of the time that the collapse takes from an initial state.

    |c|^2 = r falls as dr/dt = -2 l r (r + delta) with l = (k1 + mu1) |d|^2 / N2, until it meets the
    value that c follows on the plateau.  Assumes L1 = k1 throughout and ignores a; |d| is the one
    after the fall.  Raises `UsageError` where |d| is not larger than the smaller shared factor, or
    the shared factors are equally large.  0 if the smaller shared factor is zero; else infinite
    without an overlap of d or b.
    """
    check_known(problem)
    larger, smaller = larger_and_smaller(start)
    b, c, d = start[larger], start[smaller], start["d"]
    delta, d2 = b.square - c.square, d.square - c.square
    if min(delta, d2) <= 0:
        raise UsageError(
            f"the lengths of b, c, d are {[start[f].length for f in 'bcd']}; this collapse needs "
            "|b| and |c| to differ and |d| to be above the smaller of them"
        )
    if c.square == 0:
        return 0.0
    rate = (problem.unlearnt_losses()[ICL] + problem.mu[ICL]) * d2 / problem.sizes[CIWL]
    aligned = d.overlap**2 / d.square * b.overlap**2 / b.square
    if aligned == 0:
        return math.inf
    followed = problem.targets[CIWL] ** 2 * aligned / (d2 * delta)
    passed = math.log1p(delta / followed) - math.log1p(delta / c.square)
    return max(0.0, passed / (2 * rate * delta))


def larger_and_smaller(state: State) -> tuple[str, str]:
    """Return the names of the larger and the smaller of b and c."""
    return ("b", "c") if state["b"].square >= state["c"].square else ("c", "b")


def escape_time(problem: Problem, state: State) -> float:
    """Return how long the plateau lasts from a state after the collapse, in closed form.

        |d|^2 |b|^2 ln(u_b^2 / u_d^2) / [4 k2 (k1 + mu1) (u_b^2 - u_d^2)]

    with b the larger of the two shared factors.  Assumes small cosines, c at its followed value,
    and that a turns nothing.  Infinite without an overlap of d or b.
    """
    check_known(problem)
    larger, _ = larger_and_smaller(state)
    b, d, unlearnt = state[larger], state["d"], problem.unlearnt_losses()
    coupling = 4 * unlearnt[CIWL] * (unlearnt[ICL] + problem.mu[ICL])
    b2, d2 = b.overlap**2, d.overlap**2
    if b2 * d2 == 0:
        return math.inf
    ratio = b2 / d2
    # ln(r) / (r - 1) is 1 at r = 1, where the formula itself is 0 / 0
    slope = math.log(ratio) / (ratio - 1) if abs(ratio - 1) > 1e-6 else 1.0
    return d.square * b.square * slope / (coupling * d2)


def elliptic_escape(problem: Problem, start: State) -> float:
    """Return how long the plateau lasts near the origin, without orthogonal parts.

    It does not tell whether ICL or CIWL alone is learnt after it.

    The time is R_F(v^2, b^2, c^2) / g, Carlson's elliptic integral, with v = (g1 a + g2 d) / g, g =
    hypot(g1, g2), g1 = (k2 + mu2) S1 / N1 and g2 = (k1 + mu1) S2 / N2, because dv/dt = g b c and
    its permutations hold.  Exact as the initial values shrink, for v b c > 0.
    """
    from scipy.special import elliprf

    check_known(problem)
    unlearnt, mu = problem.unlearnt_losses(), problem.mu
    target, size = problem.targets, problem.sizes
    g1 = (unlearnt[CIWL] + mu[CIWL]) * target[ICL] / size[ICL]
    g2 = (unlearnt[ICL] + mu[ICL]) * target[CIWL] / size[CIWL]
    g = math.hypot(g1, g2)
    a, b, c, d = (start[f].overlap for f in "abcd")
    v = (g1 * a + g2 * d) / g
    if not v * b * c > 0:
        raise UsageError(
            "v b c is not positive at this start; the plateau does not end by it alone"
        )
    return float(elliprf(v * v, b * b, c * c)) / g


@dataclass(frozen=True, slots=True)
class SlowFlow:
    """The slow system from a state on.

    events : emergence, takeover and unlearning
    losses : name -> (n,) at the integrator's own steps
    """

    events: Events
    losses: dict[str, Array]


def slow_times(problem: Problem, state: State, *, t_max: float = 1e7) -> Events:
    """Return emergence, takeover and unlearning from a state after the collapse."""
    return slow_flow(problem, state, t_max=t_max).events


def slow_flow(problem: Problem, state: State, *, t_max: float) -> SlowFlow:
    """Follow the slow system from a state after the collapse until the time `t_max`.

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
    unlearnt = problem.unlearnt_losses()

    def expand(slow: Any) -> State:
        """Return the eight numbers of the five, each one number or an array."""
        a, c, cosine, u_d, w_d = slow
        length = np.sqrt(delta + c * c)
        turned = length * np.sqrt(np.maximum(0.0, 1 - cosine * cosine))
        parts: dict[str, tuple[Number, Number]] = {
            "a": (a, 0.0),
            larger: (length * cosine, turned),
            smaller: (c, 0.0),
            "d": (u_d, w_d),
        }
        u, w = ([parts[f][k] for f in problem.model.factors] for k in (0, 1))
        return State(problem.model.factors, u, w)

    def velocity(_: float, slow: Array) -> list[float]:
        at = expand(slow)
        speed = problem.velocity(at)
        (b, w_b), (speed_b, speed_w_b) = at[larger], speed[larger]
        turning = (w_b * speed_b - b * speed_w_b) * w_b / math.hypot(b, w_b) ** 3
        return [speed["a"].overlap, speed[smaller].overlap, turning, *speed["d"]]

    def event(name: str, direction: int) -> Any:
        def above(_: float, slow: Array) -> Any:
            return excess(problem.losses(expand(slow))[name], unlearnt[name])

        above.direction = direction  # type: ignore[attr-defined]
        return above

    b = state[larger]
    start = [state["a"].overlap, state[smaller].overlap, b.overlap / b.length, *state["d"]]
    found = solve_ivp(
        velocity,
        (state.time, t_max),
        np.array(start),
        "LSODA",
        events=(event(ICL, -1), event(CIWL, -1), event(ICL, 1)),
        rtol=1e-7,
        atol=1e-10,
    )
    if not found.success:
        raise UserError(f"the slow system could not be followed: {found.message}")
    emergence, takeover, unlearning = (
        float(times[0]) if len(times) else None for times in found.t_events
    )
    events = Events(emergence, unlearning=unlearning, takeover=takeover)
    return SlowFlow(events, problem.losses(expand(found.y)))
