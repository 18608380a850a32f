"""The reduction is exact: it agrees with the definition for random problems."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from coopetition import Status, descend, two_strategies
from coopetition.dynamics import solve as solver
from coopetition.dynamics.events import DIVERGED_ABOVE
from coopetition.model.initial_state import InitialState, random_draw
from coopetition.model.reduced import Problem
from tests.properties import definition
from tests.properties.problems import problems, stable_step


def reduce_vectors(factors, draw: InitialState, state: definition.Vectors):
    overlaps, orthogonal = [], []
    for name in factors:
        direction = draw.target[name] / np.linalg.norm(draw.target[name])
        overlaps.append(state[name] @ direction)
        orthogonal.append(np.linalg.norm(state[name] - overlaps[-1] * direction))
    return np.array(overlaps), np.array(orthogonal)


@given(problems(), st.floats(0.01, 0.4), st.integers(1, 40))
def test_descent_on_the_reduction_is_descent_on_the_vectors(problem, part, n_steps):
    """For random sharing graphs, costs, conventions, rates and clamps."""
    model, draw = problem
    step = stable_step(model, draw, part)
    trajectory = descend(model, draw, step=step, n_steps=n_steps)
    total = trajectory.losses["total"]
    assume(total.max() <= max(1.0, total[0]))  # where descent diverges, so do rounding errors
    states = definition.descend(model, draw, step=step, n_steps=n_steps)
    for k, state in enumerate(states):
        overlaps, orthogonal = reduce_vectors(model.factors, draw, state)
        scale = max(1.0, np.abs(overlaps).max(), orthogonal.max())
        assert np.abs(trajectory.overlap[:, k] - overlaps).max() <= 1e-12 * scale
        assert np.abs(np.abs(trajectory.orthogonal[:, k]) - orthogonal).max() <= 1e-12 * scale
        for name, value in definition.losses(model, draw, state).items():
            reduced = trajectory.losses[name][k]
            assert abs(reduced - value) <= 1e-11 * max(1.0, value), name


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
