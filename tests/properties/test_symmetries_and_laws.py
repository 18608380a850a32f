"""Symmetries and laws hold for random members of the family, along flow and descent."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coopetition import Draw, Model, Status, solve
from coopetition.model import definition
from coopetition.model.problem import project
from coopetition.theory.laws import NormLaw, check_laws, monotone_laws, norm_laws
from tests.properties.problems import models, problems, stable_step

FLOW = {"method": "flow", "threshold": 0.0, "rtol": 1e-10, "atol": 1e-13}


def flow(model: Model, draw: Draw, time: float = 5.0):
    """The flow in scaled time: a stiff problem gets less of it."""
    reduced, u, w = project(model, draw)
    total = reduced.losses(u, w)["total"]
    trajectory = solve(model, draw, step=time / 20 / max(1.0, total), max_steps=20, **FLOW)
    assume(trajectory.status is not Status.FAILED)
    return trajectory


@given(problems())
def test_monotone_quantities_never_rise_along_the_flow(problem):
    trajectory = flow(*problem)
    for check in check_laws(trajectory, monotone_laws(trajectory.model)):
        rise = np.diff(check.values).max(initial=0)
        assert rise <= 1e-8 * check.scale, check.law.name


@given(problems())
def test_rates_of_laws_are_slopes_along_the_velocity(problem):
    """The exact rate against a finite difference; that of a monotone law is not positive."""
    reduced, u, w = project(*problem)
    speed_u, speed_w = reduced.velocity(u, w)
    h = 1e-6 / max(1.0, np.abs([speed_u, speed_w]).max())
    for law in [*monotone_laws(problem[0]), *norm_laws(problem[0])]:
        ahead, behind = (
            law.value(
                reduced,
                [x + s * v for x, v in zip(u, speed_u, strict=True)],
                [x + s * v for x, v in zip(w, speed_w, strict=True)],
            )
            for s in (h, -h)
        )
        rate = law.rate(reduced, u, w)
        size = max(abs(rate), abs(ahead) / h * 1e-9, 1e-9)
        assert abs((ahead - behind) / (2 * h) - rate) <= 1e-4 * size + abs(ahead) / h * 1e-12
        assert isinstance(law, NormLaw) or rate <= 0


@given(problems())
def test_every_law_holds_along_the_flow(problem):
    trajectory = flow(*problem)
    laws = [*norm_laws(trajectory.model), *monotone_laws(trajectory.model)]
    for check in check_laws(trajectory, laws):
        assert check.drift <= 1e-5, check.law.name


@given(problems())
def test_conserved_norms_are_conserved_to_the_tolerance_of_the_solver(problem):
    trajectory = flow(*problem)
    for check in trajectory.laws():
        assert isinstance(check.law, NormLaw)
        if check.law.conserved:
            assert check.drift <= 1e-7, check.law.name


@given(problems(), st.floats(0.001, 0.3))
def test_descent_keeps_its_exact_law(problem, step):
    trajectory = solve(*problem, step=step, threshold=0.0, max_steps=30)
    total = trajectory.losses["total"]
    assume(total.max() <= max(1.0, total[0]))
    for check in trajectory.laws():
        assert check.drift <= 1e-12, check.law.name


@given(models())
def test_laws_are_all_there_are(model):
    """One for each dimension of the null space, linearly independent, zero over every mechanism."""
    laws = norm_laws(model)
    moving = [f for f, rate in zip(model.factors, model.rates, strict=True) if rate]
    incidence = np.array([[f in m.factors for f in moving] for m in model.mechanisms], float)
    rows = np.array([[law.coefficients.get(f, 0) for f in moving] for law in laws], float)
    rank = np.linalg.matrix_rank(incidence) if moving else 0
    assert len(laws) == len(moving) - rank
    if laws:
        assert np.linalg.matrix_rank(rows) == len(laws)
        assert not (incidence @ rows.T).any()


@given(problems(), st.integers(0, 10**6))
def test_rotating_a_factor_with_its_target_changes_nothing(problem, seed):
    model, draw = problem
    rng = np.random.default_rng(seed)
    rotations = {f: np.linalg.qr(rng.standard_normal((n, n)))[0] for f, n in draw.dims.items()}
    turned = Draw(
        {f: rotations[f] @ x for f, x in draw.initial.items()},
        {f: rotations[f] @ x for f, x in draw.target.items()},
    )
    for name, value in definition.losses(model, draw, draw.initial).items():
        after = definition.losses(model, turned, turned.initial)[name]
        assert after == pytest.approx(value, rel=1e-9)
    step = stable_step(model, draw)
    a, b = (solve(model, d, step=step, max_steps=20, threshold=0.0) for d in (draw, turned))
    np.testing.assert_allclose(a.overlap, b.overlap, rtol=1e-8, atol=1e-10)


@given(problems())
def test_flipping_a_factor_with_its_target_changes_nothing(problem):
    model, draw = problem
    first = model.factors[0]
    flipped = Draw(
        draw.initial | {first: -draw.initial[first]}, draw.target | {first: -draw.target[first]}
    )
    a, b = (solve(model, d, step=0.01, max_steps=20, threshold=0.0) for d in (draw, flipped))
    np.testing.assert_array_equal(a.overlap, b.overlap)


@given(problems())
def test_flipping_two_factors_that_are_always_together_changes_no_loss(problem):
    model, draw = problem
    together = [
        (x, y)
        for x in model.factors
        for y in model.factors
        if x < y and all((x in m.factors) == (y in m.factors) for m in model.mechanisms)
    ]
    assume(together)
    x, y = together[0]
    flipped = Draw(draw.initial | {x: -draw.initial[x], y: -draw.initial[y]}, draw.target)
    a, b = (solve(model, d, step=0.01, max_steps=20, threshold=0.0) for d in (draw, flipped))
    np.testing.assert_allclose(a.losses["total"], b.losses["total"], rtol=1e-12)


@given(models(), st.integers(0, 10**6))
def test_swapping_factors_with_their_places_changes_nothing(model, seed):
    """Equations depend on where a factor stands, not on its name."""
    from coopetition.model.draws import random_draw

    draw = random_draw(seed, dict.fromkeys(model.factors, 3))
    renamed = dict(zip(model.factors, reversed(model.factors), strict=True))
    other = Model.from_dict(
        model.to_dict()
        | {
            "mechanisms": [
                [m.name, [renamed[f] for f in m.factors], m.offset] for m in model.mechanisms
            ],
            "costs": [[c.name, [renamed[f] for f in c.factors], c.strength] for c in model.costs],
            "rates": list(reversed(model.rates)),
        }
    )
    swapped = Draw(
        {renamed[f]: x for f, x in draw.initial.items()},
        {renamed[f]: x for f, x in draw.target.items()},
    )
    step = stable_step(model, draw)
    a = solve(model, draw, step=step, max_steps=20, threshold=0.0)
    b = solve(other, swapped, step=step, max_steps=20, threshold=0.0)
    np.testing.assert_allclose(a.losses["total"], b.losses["total"], rtol=1e-10)


@given(models())
def test_models_survive_json(model):
    assert Model.from_dict(model.to_dict()) == model
