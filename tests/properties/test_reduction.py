"""The reduction is exact: it agrees with the definition for random problems."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coopetition import Model, Status, descend, two_strategies
from coopetition.dynamics import solve as solver
from coopetition.dynamics.events import DIVERGED_ABOVE
from coopetition.model.initial_state import InitialState, random_draw
from coopetition.model.reduced import Problem, State
from tests.properties import definition
from tests.properties.problems import (
    EPS,
    TOLERANCE,
    problems,
    rounding_errors,
    stable_descent,
    stable_step,
)


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


@given(problems(), st.floats(0.01, 0.4), st.integers(1, 40))
def test_descent_on_the_reduction_is_descent_on_the_vectors(pair, part, n_steps):
    """For random sharing graphs, costs, conventions, rates and clamps."""
    model, draw = pair
    step = stable_step(model, draw, part)
    trajectory = stable_descent(model, draw, step, n_steps)
    errors = rounding_errors(trajectory)
    expected = definition.descend(model, draw, step=step, n_steps=n_steps)
    for k, (vectors, error) in enumerate(zip(expected, errors, strict=True)):
        state = trajectory.state(k)
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
