"""Flow and training of two cues: laws, limits, and the optimisers against explicit loops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from coopetition import InitialState, two_strategies
from coopetition.dynamics import cues as dynamics
from coopetition.dynamics.cues import accuracy_curves, flow, strengths, train, velocity
from coopetition.dynamics.events import RISEN
from coopetition.dynamics.optimisers import adam, descent, momentum
from coopetition.model.reduced import Problem
from coopetition.model.two_cues import TwoCues
from coopetition.tools.errors import UsageError

CUES = TwoCues(1.0, 0.6)
START = (0.3, 0.2, 0.25, 0.1)
factor = st.floats(0.05, 1)


@settings(max_examples=15)
@given(
    st.floats(0.6, 1.5),
    st.floats(0.6, 1.5),
    st.tuples(factor, factor, factor, factor),
    st.floats(0.1, 3),
)
def test_the_flow_conserves_two_numbers_and_ends_at_the_optimum(sigma, nu, start, kappa):
    cues, times = TwoCues(sigma, nu), np.array([0.0, 1.0, 10.0, 3000.0])
    states = flow(cues, start, times, kappa=kappa)
    a, b, c, d = states.T
    for law in (b**2 - c**2, a**2 + d**2 / kappa - b**2):
        assert law == pytest.approx(law[0], abs=1e-6)
    x, y = strengths(states[-1])
    assert (x, *y) == pytest.approx(cues.optimum, rel=1e-3)


def root_mean_squares(state):
    """Return those of the gradients of a, b, c and d for one sequence."""
    z, weights = np.polynomial.hermite_e.hermegauss(60)
    s, r = 1 + CUES.sigma * z[:, None], 1 + CUES.nu * z
    a, b, c, d = state
    both = a * s + d * r
    gradients = np.array([b * c * s + 0 * r, c * both, b * both, b * c * r + 0 * s])
    squares = (gradients * expit(-b * c * both)) ** 2
    return np.sqrt(weights @ squares @ weights / weights.sum() ** 2)


@pytest.mark.parametrize("batch", [1, 4])
def test_adam_in_noise_drifts_by_gradients_over_their_root_mean_squares(batch):
    """A step moves by rate x sqrt(batch) x this ratio.

    Mean over 200 seeds; four standard errors are 7 % for batch 1, and the signal adds 2 %.
    """
    rate, n_steps, spread = 2e-5, 4000, 10.0
    numbers = {"batch": batch, "n_steps": n_steps, "every": n_steps, "spread": spread}
    ends = [train(CUES, START, adam(rate), seed=seed, **numbers)[1][-1] for seed in range(200)]
    drift = velocity(CUES, np.array(START)) / root_mean_squares(START) / np.hypot(1, spread)
    expected = START + drift * rate * n_steps * batch**0.5
    assert np.mean(ends, 0) - START == pytest.approx(expected - START, rel=0.15)


def explicit(optimiser, dims, batch, n_steps, n_classes, seed, kappa=1.0):
    """Training on full vectors with targets of signs; each entry is updated by itself."""
    rng, signs = np.random.default_rng(seed), np.random.default_rng(1)
    target = {f: signs.choice([-1.0, 1.0], dims) / np.sqrt(dims) for f in "abcd"}
    x = {f: value * target[f] for f, value in zip("abc", START[:3], strict=True)}
    x["d"] = np.tile(START[3] * target["d"], (n_classes, 1))
    mean, square = ({f: np.zeros_like(each) for f, each in x.items()} for _ in range(2))
    for k in range(1, n_steps + 1):
        a, b, c = (x[f] @ target[f] for f in "abc")
        g = {f: np.zeros_like(each) for f, each in x.items()}
        for _ in range(batch):
            row = int(n_classes * rng.random())
            d = x["d"][row] @ target["d"]
            s, r = 1 + CUES.sigma * rng.standard_normal(), 1 + CUES.nu * rng.standard_normal()
            wrong = expit(-b * c * (a * s + d * r)) / batch
            g["a"] -= b * c * s * wrong * target["a"]
            g["b"] -= c * (a * s + d * r) * wrong * target["b"]
            g["c"] -= b * (a * s + d * r) * wrong * target["c"]
            g["d"][row] -= b * c * r * wrong * target["d"]
        for f in x:
            rate = optimiser.rate * (kappa if f == "d" else 1.0)
            if optimiser.beta2 < 0:
                mean[f] = optimiser.beta1 * mean[f] + g[f]
                x[f] = x[f] - rate * mean[f]
                continue
            mean[f] = optimiser.beta1 * mean[f] + (1 - optimiser.beta1) * g[f]
            square[f] = optimiser.beta2 * square[f] + (1 - optimiser.beta2) * g[f] ** 2
            m = mean[f] / (1 - optimiser.beta1**k)
            v = square[f] / (1 - optimiser.beta2**k)
            x[f] = x[f] - rate * m / (np.sqrt(v) + optimiser.epsilon)
    return np.array([*(x[f] @ target[f] for f in "abc"), *(x["d"] @ target["d"])])


@pytest.mark.parametrize("n_classes", [1, 5])
@pytest.mark.parametrize("make", [descent, momentum, adam])
def test_training_on_full_vectors_reduces_to_numbers(make, n_classes):
    """An entry of Adam moves as far as any other, so |x| moves sqrt(dims) times as far."""
    dims, rate, settings = 9, 0.01, {"batch": 3, "n_steps": 60, "seed": 4, "n_classes": n_classes}
    if make is adam:
        full = explicit(adam(rate, epsilon=1e-3), dims, kappa=0.5, **settings)
        reduced = adam(rate * dims**0.5, epsilon=1e-3 * dims**0.5)
    else:
        full, reduced = explicit(make(rate), dims, kappa=0.5, **settings), make(rate)
    _, states = train(CUES, START, reduced, kappa=0.5, **settings)
    assert np.abs(states[-1] - full).max() < 1e-12
    own = adam(rate, epsilon=1e-3) if make is adam else reduced
    _, entries = train(CUES, START, own, kappa=0.5, dims=dims, **settings)
    assert np.abs(entries[-1] - full).max() < 1e-12


def test_compiled_training_is_the_python_function():
    n, x = 40, np.repeat(np.array([*START, 0.1, 0.1])[:, None], 2, axis=1) / 2**0.5
    states = np.empty((n + 1, len(x)))
    rng, noise = np.random.default_rng(3), (1.0, 0.6, 2.0)
    dynamics.train_states(x, np.ones((len(x), 1)), noise, adam(0.01), 4, 1, rng, states)
    numbers = {"batch": 4, "n_steps": n, "n_classes": 3, "dims": 2, "spread": 2.0, "seed": 3}
    _, compiled = train(CUES, START, adam(0.01), **numbers)
    assert compiled == pytest.approx(states, abs=1e-13)


def test_small_steps_on_large_batches_are_the_flow():
    _, states = train(CUES, START, descent(0.01), batch=4000, n_steps=1000, every=1000)
    assert states[-1] == pytest.approx(flow(CUES, START, [0.0, 10.0])[-1], rel=0.02)
    curves = accuracy_curves(CUES, states)
    assert curves["train"][-1] > curves["icl"][-1] > curves["icl"][0]


def test_the_start_has_a_d_for_all_classes_or_for_each():
    each = (*START[:3], 0.1, 0.2)
    _, states = train(CUES, each, descent(0.01), batch=1, n_steps=1, n_classes=2)
    assert states[0] == pytest.approx(each)
    with pytest.raises(UsageError, match="classes"):
        train(CUES, each, descent(0.01), batch=1, n_steps=1, n_classes=3)


@pytest.mark.parametrize(
    ("sigma", "nu", "start", "icl_is_preferred_once"),
    [
        (0.5, 1.0, (0.1, 0.3, 0.3, 0.4), True),
        (1.0, 0.5, (0.8, 0.1, 0.1, 0.1), True),
        (1.0, 0.5, (0.1, 0.3, 0.3, 0.8), False),
    ],
)
def test_noise_sets_the_last_preference_and_the_start_sets_the_path(
    sigma, nu, start, icl_is_preferred_once
):
    cues, times = TwoCues(sigma, nu), np.append(0.0, np.geomspace(1e-2, 1e5, 400))
    flip = accuracy_curves(cues, flow(cues, start, times, kappa=0.5, rtol=1e-7))["flip"]
    assert (flip[-1] > 0.5) == (sigma < nu)
    assert (flip.max() > RISEN) == icl_is_preferred_once


def test_from_small_starts_the_flow_is_that_of_the_published_model():
    """Both gain the products' gradient times 1/2; the second order differs in its curvature."""
    one = dict.fromkeys("abcd", np.ones(1))
    model = replace(two_strategies(alpha=0.0, mu1=0.0), convention="sum")
    small = 1e-4 * np.array([1.0, 2.0, 3.0, 4.0])
    draw = InitialState({f: np.array([v]) for f, v in zip("abcd", small, strict=True)}, one)
    problem = Problem(model, draw)
    published = problem.velocity(problem.start).overlap
    assert velocity(CUES, small) == pytest.approx(published, rel=1e-6)
    h = 1e-4
    corners = [(h, h), (h, -h), (-h, h), (-h, -h)]
    pp, pm, mp, mm = (CUES.loss(x, y) for x, y in corners)
    centre = CUES.loss(0, 0)
    mixed = (pp - pm - mp + mm) / (4 * h * h)
    of_x = (CUES.loss(h, 0) - 2 * centre + CUES.loss(-h, 0)) / h**2
    assert mixed == pytest.approx(1 / 4, rel=1e-3)
    assert of_x == pytest.approx((1 + CUES.sigma**2) / 4, rel=1e-3)
    toy = [(1 - x) ** 2 * (1 - y) ** 2 / 4 for x, y in corners]
    assert (toy[0] - toy[1] - toy[2] + toy[3]) / (4 * h * h) == pytest.approx(1, rel=1e-3)


@settings(max_examples=30)
@given(factor, st.floats(-1, 1))
def test_other_critical_points_have_learnt_nothing_and_are_saddles(c, a):
    """At b = 0 and a + d = 0, and at b = c = 0, some direction goes down."""
    for state in (np.array([a, 0.0, c, -a]), np.array([a, 0.0, 0.0, 0.3])):
        assert velocity(CUES, state) == pytest.approx(np.zeros(4), abs=1e-12)
        h = 1e-5
        columns = [
            (velocity(CUES, state + h * e) - velocity(CUES, state - h * e)) / (2 * h)
            for e in np.eye(4)
        ]
        rates = np.linalg.eigvals(np.array(columns))
        if abs(state[0] + state[3]) > 1e-3 or abs(c) > 1e-3:
            assert rates.real.max() > 1e-5
