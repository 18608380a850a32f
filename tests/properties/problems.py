"""Random members of the family, random draws for them, and the rounding errors of their descent."""

from collections.abc import Iterator

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from coopetition import Cost, InitialState, Mechanism, Model, Trajectory, descend
from coopetition.dynamics.events import DIVERGED_ABOVE
from coopetition.model.initial_state import random_draw
from coopetition.model.reduced import Problem
from coopetition.theory.critical_sets import hessian, spectrum

EPS = np.finfo(float).eps
TOLERANCE = 100  # rounding errors; random examples reach 4 in states and 31 in losses
parameter = st.floats(0, 2)


@st.composite
def models(draw):
    """Any sharing graph of up to five factors and three mechanisms, with costs and rates."""
    factors = tuple("abcde"[: draw(st.integers(1, 5))])
    subset = st.lists(st.sampled_from(factors), min_size=1, unique=True).map(tuple)
    parts = draw(st.lists(subset, min_size=1, max_size=3))
    idle = tuple(set(factors).difference(*parts))
    parts[0] = tuple(sorted({*parts[0], *idle}))
    mechanisms = tuple(Mechanism(f"m{k}", part, draw(parameter)) for k, part in enumerate(parts))
    costs = ()
    if len(factors) > 1:
        pair = st.lists(st.sampled_from(factors), min_size=2, max_size=2, unique=True).map(tuple)
        pairs = draw(st.lists(pair, max_size=3))
        costs = tuple(Cost(f"k{k}", two, draw(parameter)) for k, two in enumerate(pairs))
    rate = st.sampled_from([0.0, 0.5, 1.0, 2.0])
    rates = tuple(draw(rate) for _ in factors)
    return Model(factors, mechanisms, costs, draw(st.sampled_from(["mean", "sum"])), rates)


def draws(model: Model) -> st.SearchStrategy[InitialState]:
    """Random draws for a model, of dimensions between 1 and 4."""
    dims = st.fixed_dictionaries({name: st.integers(1, 4) for name in model.factors})
    return st.builds(random_draw, st.integers(0, 10**6), dims, st.floats(0.01, 1.5))


@st.composite
def problems(draw):
    """A model and a draw for it."""
    model = draw(models())
    return model, draw(draws(model))


def stable_step(model: Model, draw: InitialState, part: float = 0.25) -> float:
    """A part of the largest step that the Hessian at the start allows, at most 0.3.

    With larger ones descent is unstable, and rounding errors grow without bound.
    """
    problem = Problem(model, draw)
    return min(0.3, part * spectrum(problem, problem.start).largest_stable_step)


def stable_descent(model: Model, draw: InitialState, step: float, n_steps: int) -> Trajectory:
    """Return a descent; reject an example whose loss exceeds both 1 and its initial value."""
    trajectory = descend(model, draw, step=step, n_steps=n_steps)
    total = trajectory.losses["total"]
    assume(total.max() <= min(max(1.0, total[0]), DIVERGED_ABOVE))
    return trajectory


def rounding_errors(trajectory: Trajectory) -> Iterator[float]:
    """Yield the standard deviation of the rounding errors of a descent after 0, 1, ... steps.

    No fixed bound holds: unstable directions amplify errors.  Each step multiplies earlier errors
    by its derivative J = 1 - step rates H, and adds one of EPS times the largest length.  So their
    covariance C becomes J C J' + (EPS length)^2.
    """
    problem, step = trajectory.problem, trajectory.provenance["step"]
    rates, unit = np.array(problem.model.rates * 2), np.eye(len(problem.start.entries))
    covariance = 0 * unit
    for k in range(len(trajectory.times)):
        state = trajectory.state(k)
        length = max(1.0, *problem.norms.values(), *(state[f].length for f in state.factors))
        covariance = covariance + (EPS * length) ** 2 * unit
        yield np.sqrt(covariance.diagonal().max())
        jacobian = unit - step * rates[:, None] * hessian(problem, state)
        covariance = jacobian @ covariance @ jacobian.T
