"""Symmetries and laws hold for random members of the family, along flow and descent."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coopetition import InitialState, Model, Status, descend, solve
from coopetition.dynamics.trajectory import check_laws
from coopetition.model.laws import norm_laws
from coopetition.model.reduced import Problem, State
from tests.properties import definition
from tests.properties.problems import (
    TOLERANCE,
    models,
    problems,
    rounding_errors,
    stable_descent,
    stable_step,
)

FLOW = {"method": "flow", "threshold": 0.0, "rtol": 1e-10, "atol": 1e-13}


def flow(model: Model, draw: InitialState, time: float = 5.0):
    """The flow in scaled time: a stiff problem gets less of it."""
    problem = Problem(model, draw)
    total = problem.losses(problem.start)["total"]
    trajectory = solve(model, draw, t1=time / max(1.0, total), **FLOW)
    assume(trajectory.status is not Status.FAILED)
    return trajectory


@given(problems())
def test_loss_and_orthogonal_parts_never_rise_along_the_flow(problem):
    trajectory = flow(*problem)
    for values in (trajectory.losses["total"], *trajectory.orthogonal**2):
        assert np.diff(values).max(initial=0) <= 1e-8 * values.max(initial=1e-300)


@given(problems())
def test_every_law_holds_along_the_flow(problem):
    """What is conserved, to the tolerance of the solver; a budget, to that of its quadrature."""
    for check in check_laws(flow(*problem)):
        assert check.drift <= (1e-7 if check.law.conserved else 1e-5), check.law.name


@given(problems(), st.floats(0.001, 0.3))
def test_descent_keeps_its_exact_law(problem, step):
    trajectory = stable_descent(*problem, step=step, n_steps=30)
    for check, again in zip(check_laws(trajectory), check_laws(trajectory), strict=True):
        assert check != again  # each is itself alone, as a trajectory is
        assert check.drift <= 1e-12, check.law.name


@given(models(), st.integers(0, 10**6))
def test_laws_are_all_there_are(model, seed):
    """Found again from the flow at random states, targets and lengths, without the incidence.

    Weights c for which sum_x c_x d(|x|^2 / r_x)/dt is a sum of the costs at every sample: there are
    as many independent ones as laws.
    """
    moving = [k for k, rate in enumerate(model.rates) if rate]
    names, rng = model.factors, np.random.default_rng(seed)
    generic = {name: rng.uniform(0.3, 1.0) for name in model.parameters}
    rates, costs = [], []
    for _ in range(4 * (len(moving) + len(model.costs) + 1)):
        dims = dict(zip(names, rng.integers(2, 6, len(names)), strict=True))
        norms = dict(zip(names, rng.uniform(0.5, 2.0, len(names)), strict=True))
        state = State(names, *rng.standard_normal((2, len(names))).tolist())
        problem = Problem.from_numbers(model, dims, norms, start=state, parameters=generic)
        speed, losses = problem.velocity(state), problem.losses(state)
        rates.append([np.dot(state[names[k]], speed[names[k]]) / model.rates[k] for k in moving])
        costs.append([losses[cost.name] for cost in model.costs])
    laws = nullity(np.hstack([rates, costs])) - nullity(np.array(costs))
    assert len(norm_laws(model)) == laws
    rows = np.array([[law.coefficients.get(f, 0) for f in names] for law in norm_laws(model)])
    assert not laws or np.linalg.matrix_rank(rows) == laws


def nullity(samples: np.ndarray) -> int:
    """How many independent combinations of the columns vanish."""
    if not samples.shape[1]:
        return 0
    size = np.abs(samples).max(0)
    spectrum = np.linalg.svd(samples / np.where(size > 0, size, 1.0), compute_uv=False)
    return int((spectrum <= 1e-9 * max(1.0, spectrum[0])).sum())


@given(problems(), st.integers(0, 10**6))
def test_rotating_a_factor_with_its_target_changes_nothing(problem, seed):
    model, draw = problem
    rng = np.random.default_rng(seed)
    rotations = {f: np.linalg.qr(rng.standard_normal((n, n)))[0] for f, n in draw.dims.items()}
    turned = InitialState(
        {f: rotations[f] @ x for f, x in draw.initial.items()},
        {f: rotations[f] @ x for f, x in draw.target.items()},
    )
    for name, value in definition.losses(model, draw, draw.initial).items():
        after = definition.losses(model, turned, turned.initial)[name]
        assert after == pytest.approx(value, rel=1e-9)
    step = stable_step(model, draw)
    a, b = (stable_descent(model, d, step, n_steps=20) for d in (draw, turned))
    differences = np.abs(a.overlap - b.overlap).max(0)
    assert (differences <= TOLERANCE * np.array([*rounding_errors(a)])).all()


@given(problems())
def test_flipping_a_factor_with_its_target_or_two_that_are_always_together_changes_nothing(pair):
    model, draw = pair
    first = model.factors[0]
    flipped = InitialState(
        draw.initial | {first: -draw.initial[first]}, draw.target | {first: -draw.target[first]}
    )
    a, b = (descend(model, d, step=0.01, n_steps=20) for d in (draw, flipped))
    np.testing.assert_array_equal(a.overlap, b.overlap)
    together = [
        (x, y)
        for x, y in itertools.combinations(model.factors, 2)
        if all((x in m.factors) == (y in m.factors) for m in model.mechanisms)
    ]
    for x, y in together[:1]:
        flipped = InitialState(
            draw.initial | {x: -draw.initial[x], y: -draw.initial[y]}, draw.target
        )
        b = descend(model, flipped, step=0.01, n_steps=20)
        np.testing.assert_allclose(a.losses["total"], b.losses["total"], rtol=1e-12)


@given(models())
def test_models_survive_json(model):
    """JSON has lists for the model's tuples."""
    again = Model.from_dict(json.loads(json.dumps(model.to_dict())))
    assert again == model and hash(again) == hash(model)
