"""How long it takes, in closed form: the collapse, and the plateau until ICL emerges.

All for `two_strategies`.  The published draws have large orthogonal parts, above all in d (160
entries), and so the story is not that of small initial values (`elliptic_escape`): the shared
factors collapse, and CIWL then turns them slowly to their targets (docs/theory.md, section 9).
"""

import math

import numpy as np

from coopetition.dynamics.trajectory import Trajectory
from coopetition.model.presets import CIWL, ICL, is_two_strategies
from coopetition.model.problem import Problem, State
from coopetition.tools.errors import UsageError


def after_collapse(trajectory: Trajectory) -> State:
    """Where the shared circuit |b| |c| is smallest, before ICL has emerged: the collapse's end.

    What is predicted from there on starts from a *simulated* state, and looks at the simulated
    emergence to find it.
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
        raise UsageError("times are known for two_strategies with rates of 1 alone")


def collapse_time(problem: Problem, start: State) -> float:
    """How long the collapse takes, from the draw: an order of magnitude.

    |c|^2 = r falls as dr/dt = -2 l r (r + delta) with l = (k1 + mu1) |d|^2 / N2, until it meets
    what c follows on the plateau.  Takes L1 = k1 throughout and ignores a; |d| is that after the
    fall.  Raises `UsageError` where |d| is not larger than the smaller shared factor, or that is as
    large as the other: then the story is another one.  Infinite without an overlap of d or b.
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
    rate = (problem.unlearnt()[ICL] + problem.mu[ICL]) * d2 / problem.sizes[CIWL]
    aligned = d.overlap**2 / d.square * b.overlap**2 / b.square
    if aligned == 0:
        return math.inf
    followed = problem.targets[CIWL] ** 2 * aligned / (d2 * delta)
    passed = math.log1p(delta / followed) - math.log1p(delta / c.square)
    return max(0.0, passed / (2 * rate * delta))


def larger_and_smaller(state: State) -> tuple[str, str]:
    """The larger and the smaller of b and c."""
    return ("b", "c") if state["b"].square >= state["c"].square else ("c", "b")


def escape_time(problem: Problem, state: State) -> float:
    """How long the plateau lasts from a state after the collapse, in closed form.

        |d|^2 |b|^2 ln(u_b^2 / u_d^2) / [4 k2 (k1 + mu1) (u_b^2 - u_d^2)]

    with b the larger of the two shared factors.  Assumes small cosines, c at its followed value,
    and that a turns nothing.  Infinite without an overlap of d or b.
    """
    check_known(problem)
    larger, _ = larger_and_smaller(state)
    b, d, unlearnt = state[larger], state["d"], problem.unlearnt()
    coupling = 4 * unlearnt[CIWL] * (unlearnt[ICL] + problem.mu[ICL])
    b2, d2 = b.overlap**2, d.overlap**2
    if b2 * d2 == 0:
        return math.inf
    ratio = b2 / d2
    # ln(r) / (r - 1) is 1 at r = 1, where the formula itself is 0 / 0
    slope = math.log(ratio) / (ratio - 1) if abs(ratio - 1) > 1e-6 else 1.0
    return d.square * b.square * slope / (coupling * d2)


def elliptic_escape(problem: Problem, start: State) -> float:
    """How long the plateau lasts near the origin, without orthogonal parts: R_F(v^2, b^2, c^2) / g.

    What is learnt after it, ICL or CIWL alone, is not said.

    There dv/dt = g b c and its permutations, with v = (g1 a + g2 d) / g, g = hypot(g1, g2),
    g1 = (k2 + mu2) S1 / N1 and g2 = (k1 + mu1) S2 / N2.  Exact as the initial values shrink, for
    v b c > 0; R_F is Carlson's elliptic integral.
    """
    from scipy.special import elliprf

    check_known(problem)
    unlearnt, mu = problem.unlearnt(), problem.mu
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
