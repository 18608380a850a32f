"""Optimisers of the minimal model against explicit loops on full vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition import Fate, InitialState, check_laws, random_draw, two_strategies
from coopetition.dynamics.optimisers import adam, descent, momentum, optimise
from coopetition.dynamics.trajectory import Status
from tests.properties import definition
from tests.properties.problems import problems, stable_descent, stable_step

DIMS = {"a": 4, "b": 3, "c": 5, "d": 6}


def draw_of_signs(seed):
    """Targets of signs, and initial values of one length with random signs."""
    rng = np.random.default_rng(seed)
    target = {f: rng.choice([-1.0, 1.0], n) for f, n in DIMS.items()}
    initial = {f: 0.2 * rng.choice([-1.0, 1.0], n) for f, n in DIMS.items()}
    return InitialState(initial, target)


def explicit_adam(model, draw, optimiser, n_steps):
    """Adam by its definition on vectors, with derivatives of explicit tensors."""
    x = {f: draw.initial[f].copy() for f in model.factors}
    mean, square = ({f: np.zeros_like(each) for f, each in x.items()} for _ in range(2))
    for k in range(1, n_steps + 1):
        gradient = definition.gradient(model, draw, x)
        for f, g in gradient.items():
            mean[f] = optimiser.beta1 * mean[f] + (1 - optimiser.beta1) * g
            square[f] = optimiser.beta2 * square[f] + (1 - optimiser.beta2) * g**2
            root = np.sqrt(square[f] / (1 - optimiser.beta2**k)) + optimiser.epsilon
            x[f] = x[f] - optimiser.rate * mean[f] / (1 - optimiser.beta1**k) / root
    return np.array([x[f] @ draw.target[f] / np.linalg.norm(draw.target[f]) for f in model.factors])


@pytest.mark.parametrize("seed", range(4))
def test_adam_moves_entries_as_by_its_definition(seed):
    model, draw = two_strategies(), draw_of_signs(seed)
    optimiser = adam(0.01, epsilon=1e-3)
    full = explicit_adam(model, draw, optimiser, 60)
    run = optimise(model, draw, optimiser, n_steps=60)
    assert np.abs(run.overlap[:, -1] - full).max() < 1e-12


@pytest.mark.parametrize("every", [1, 10])
def test_a_run_that_diverges_between_samples_keeps_its_last_state(every):
    model, draw = two_strategies(), random_draw(0, two_strategies())
    run = optimise(model, draw, descent(40.0), n_steps=100, every=every)
    assert run.status is Status.DIVERGED and run.fate() is Fate.DIVERGED
    assert run.times[-1] == 40.0 * run.n_steps


def test_adam_leaves_the_plane_of_factor_and_target():
    model, draw = two_strategies(), random_draw(0, DIMS, 0.3)
    run = optimise(model, draw, adam(0.01), n_steps=60)
    assert run.overlap[:, -1] == pytest.approx(
        explicit_adam(model, draw, adam(0.01), 60), abs=1e-10
    )
    signs = draw_of_signs(0)
    same_plane = InitialState(signs.initial, signs.target)
    rotated = {}
    for f, n in DIMS.items():  # the same overlaps and orthogonal parts in another basis
        q = np.linalg.qr(np.random.default_rng(1).standard_normal((n, n)))[0]
        rotated[f] = q
    turned = InitialState(
        {f: rotated[f] @ signs.initial[f] for f in DIMS},
        {f: rotated[f] @ signs.target[f] for f in DIMS},
    )
    ends = [
        optimise(model, each, adam(0.01), n_steps=60).overlap[:, -1]
        for each in (same_plane, turned)
    ]
    assert abs(ends[0] - ends[1]).max() > 0.01
    ends = [
        optimise(model, each, momentum(0.1), n_steps=60).overlap[:, -1]
        for each in (same_plane, turned)
    ]
    assert ends[0] == pytest.approx(ends[1], abs=1e-12)


@settings(max_examples=25)
@given(problems())
def test_descent_on_entries_is_descent_on_overlaps(problem):
    model, draw = problem
    step = stable_step(model, draw)
    reduced = stable_descent(model, draw, step, n_steps=20)
    own = optimise(model, draw, descent(step), n_steps=20)
    assert own.overlap == pytest.approx(reduced.overlap[:, : own.overlap.shape[1]], abs=1e-9)
    assert own.times == pytest.approx(step * np.arange(21))


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_the_variance_of_the_noise_is_inverse_to_the_batch(seed):
    """One step of descent moves an entry by rate x noise / sqrt(batch), beside the gradient."""
    model, draw = two_strategies(), random_draw(0, {f: 500 for f in "abcd"}, 0.1)
    exact = optimise(model, draw, descent(1.0), n_steps=1).orthogonal[:, -1]
    noisy = optimise(model, draw, descent(1.0), n_steps=1, noise=3.0, batch=9, seed=seed)
    grown = noisy.orthogonal[:, -1] ** 2 - exact**2
    assert grown / 500 == pytest.approx(1.0, rel=0.4)


def test_a_run_by_adam_has_events_but_no_laws():
    model, draw = two_strategies(), random_draw(5, two_strategies(), 0.1)
    run = optimise(model, draw, adam(2e-3), n_steps=2000, every=5, noise=3e-4, batch=32)
    events = run.events()
    assert events.emergence < events.peak < events.unlearning
    assert not check_laws(run)
    assert len(run.times) == 401 and run.times[-1] == pytest.approx(4.0)
