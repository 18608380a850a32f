"""The reduction is exact: it agrees with the definition for random problems."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from coopetition import Model, Status, descend, two_strategies
from coopetition.dynamics import solve as solver
from coopetition.dynamics.events import DIVERGED_ABOVE
from coopetition.model.initial_state import InitialState, random_draw
from coopetition.model.reduced import Problem, State
from coopetition.theory.critical_sets import hessian
from tests.properties import definition
from tests.properties.problems import problems, stable_step

EPS = np.finfo(float).eps
TOLERANCE = 100  # rounding errors; largest of 400,000 differences: 3 in states, 31 in losses


def reduce_vectors(model: Model, draw: InitialState, vectors: definition.Vectors) -> State:
    overlaps, orthogonal = [], []
    for name in model.factors:
        direction = draw.target[name] / np.linalg.norm(draw.target[name])
        overlaps.append(vectors[name] @ direction)
        orthogonal.append(np.linalg.norm(vectors[name] - overlaps[-1] * direction))
    return State(model.factors, overlaps, orthogonal)


def absolute(state: State) -> list[float]:
    """Return the overlaps, then the absolute orthogonal parts, whose signs vectors do not have."""
    return [*state.overlap, *np.abs(state.orthogonal)]


def rounding_errors(problem: Problem, states: list[State], step: float):
    """Yield the standard deviation of the rounding errors of a descent at each of its states.

    No fixed bound holds: unstable directions amplify errors.  Each step multiplies earlier errors
    by its derivative J = 1 - step rates H, and adds one of EPS times the largest length.  So their
    covariance C becomes J C J' + (EPS length)^2.
    """
    rates, unit = np.array(problem.model.rates * 2), np.eye(len(problem.start.entries))
    covariance = 0 * unit
    for state in states:
        length = max(1.0, *problem.norms.values(), *(state[f].length for f in state.factors))
        covariance = covariance + (EPS * length) ** 2 * unit
        yield np.sqrt(covariance.diagonal().max())
        jacobian = unit - step * rates[:, None] * hessian(problem, state)
        covariance = jacobian @ covariance @ jacobian.T


@given(problems(), st.floats(0.01, 0.4), st.integers(1, 40))
def test_descent_on_the_reduction_is_descent_on_the_vectors(pair, part, n_steps):
    """For random sharing graphs, costs, conventions, rates and clamps."""
    model, draw = pair
    step = stable_step(model, draw, part)
    trajectory = descend(model, draw, step=step, n_steps=n_steps)
    total = trajectory.losses["total"]
    # where descent diverges, so do rounding errors
    assume(total.max() <= min(max(1.0, total[0]), DIVERGED_ABOVE))
    states = [trajectory.state(k) for k in range(n_steps + 1)]
    errors = rounding_errors(trajectory.problem, states, step)
    expected = definition.descend(model, draw, step=step, n_steps=n_steps)
    for k, (state, vectors, error) in enumerate(zip(states, expected, errors, strict=True)):
        difference = np.subtract(absolute(state), absolute(reduce_vectors(model, draw, vectors)))
        assert np.abs(difference).max() <= TOLERANCE * error
        losses = {name: values[k] for name, values in trajectory.losses.items()}
        assert losses == trajectory.problem.losses(state)


@given(problems(), st.floats(0, 1))
def test_losses_of_the_reduction_are_losses_of_the_vectors(pair, learnt):
    """On the way from the start to the targets."""
    model, draw = pair
    start, target, problem = draw.initial, draw.target, Problem(model, draw)
    vectors = {name: x + learnt * (target[name] - x) for name, x in start.items()}
    state = reduce_vectors(model, draw, vectors)
    # factors of the same lengths at right angles to their targets: all terms are added
    lengths = [state[name].length for name in model.factors]
    largest = problem.losses(State(model.factors, [0.0] * len(lengths), lengths))
    for name, expected in definition.losses(model, draw, vectors).items():
        assert abs(problem.losses(state)[name] - expected) <= TOLERANCE * EPS * largest[name], name


@given(problems(), st.sampled_from([0.01, 0.3, 30.0]))
def test_compiled_descent_is_the_plain_arithmetic_of_the_problem(pair, step):
    """Bit by bit, up to the step at which it diverges or falls below the threshold."""
    problem = Problem(*pair)
    threshold = 0.7 * problem.losses(problem.start)["total"]
    found = descend(*pair, step=step, n_steps=20, threshold=threshold)
    state, total = problem.start, problem.losses(problem.start)["total"]
    for k in range(found.n_steps):
        assert found.state(k).entries == state.entries and threshold <= total < DIVERGED_ABOVE
        state = state.step_along(problem.velocity(state), step)
        total = problem.losses(state)["total"]
    np.testing.assert_array_equal(found.state(-1).entries, state.entries)
    ended = Status.STOPPED if total < threshold else Status.DIVERGED
    assert found.n_steps == 20 or found.status is (ended if total == total else Status.DIVERGED)


def test_long_descents_continue_where_the_compiled_steps_pause(monkeypatch):
    model, draw = two_strategies(), random_draw(1, {"a": 3, "b": 2, "c": 4, "d": 5})
    whole = descend(model, draw, n_steps=1000, threshold=1e-3)
    monkeypatch.setattr(solver, "BETWEEN_INTERRUPTS", 7)
    parts = descend(model, draw, n_steps=1000, threshold=1e-3)
    np.testing.assert_array_equal(parts.overlap, whole.overlap)
    assert (parts.status, parts.n_steps) == (whole.status, whole.n_steps)
