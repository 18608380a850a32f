"""Critical sets, spectra, the theorem's conditions, coexistence."""

import numpy as np
import pytest

from coopetition import Cost, Mechanism, Model, random_draw, solve, two_strategies
from coopetition.model.initial_state import canonical_draw
from coopetition.model.presets import named_model, no_competition
from coopetition.model.reduced import Problem, State
from coopetition.theory.critical_sets import (
    Kind,
    critical_sets,
    list_is_complete,
    spectrum,
    theorem_holds,
)
from coopetition.theory.fates import coexistence_asymptotics, possible_fates
from coopetition.tools.errors import UsageError

SMALL = {"a": 3, "b": 3, "c": 3, "d": 4}


PARAMETERS = [
    {},
    {"mu1": 0.0},
    {"mu1": 0.0, "mu2": 0.1},
    {"mu2": 0.1},
    {"mu1": 0.0, "mu2": 0.0},
    {"alpha": 0.0},
    {"alpha": 0.0, "mu2": 0.1},
    {"alpha": 0.0, "mu1": 0.0, "mu2": 0.1},
]


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_minima_are_those_of_the_theorems(parameters):
    model = two_strategies(**parameters)
    problem = Problem(model, random_draw(0, SMALL))
    sets = critical_sets(problem)
    minima = {each.learnt for each in sets if each.kind is Kind.MINIMUM}
    own = {"alpha": 0.1, "mu1": 0.1, "mu2": 0.0} | parameters
    if own["alpha"] == 0:
        zero = {name for name, mu in (("icl", "mu1"), ("ciwl", "mu2")) if own[mu] == 0}
        expected = {frozenset(zero or {"icl", "ciwl"})}
    else:
        expected = {
            frozenset({name}) for name, mu in (("icl", "mu1"), ("ciwl", "mu2")) if own[mu] == 0
        }
    assert minima == expected
    assert theorem_holds(model)
    assert list_is_complete(model) == (own["alpha"] > 0)
    for each in sets:
        slopes = problem.gradient(each.state).entries
        assert not np.any(slopes)
        if each.kind is not Kind.MINIMUM:
            assert not each.learnt and each.spectrum.count(-1) >= 1
        assert each.spectrum.multiplicity.sum() == sum(SMALL.values())


def test_the_theorem_is_not_claimed_where_its_conditions_fail():
    twice = Model(
        ("a", "b"), (Mechanism("icl", ("a", "b"), 0.1), Mechanism("ciwl", ("a", "b"), 0.1))
    )
    rival = Model(("a", "b"), (Mechanism("icl", ("a", "b"), 0.0),), (Cost("k", ("a", "b"), 1.0),))
    nested = Model(("a", "b"), (Mechanism("icl", ("a", "b"), 0.0), Mechanism("ciwl", ("a",), 0.1)))
    clamped = two_strategies().with_clamped("b")
    for model in (twice, rival, nested, clamped):
        assert theorem_holds(model) == (model is nested) and not list_is_complete(model)
        with pytest.raises(UsageError):
            possible_fates(model)
    with pytest.raises(UsageError, match="clamped"):
        critical_sets(Problem(clamped, random_draw(0, SMALL)))


def test_without_competition_pulls_cancel_at_points_that_are_not_listed():
    """Why `list_is_complete` is needed: u_a and u_d can balance on b where c is not zero."""
    model = no_competition()
    problem = Problem.from_numbers(model, SMALL, dict.fromkeys(SMALL, 1.0))
    k1, k2 = (problem.unlearnt_losses()[name] for name in ("icl", "ciwl"))
    pull_a = k2 / problem.sizes["icl"]
    pull_d = (k1 + 0.1) / problem.sizes["ciwl"]
    at = State(model.factors, [1.0, 0.0, 0.7, -pull_a / pull_d], [0.0] * 4)
    assert np.abs(problem.gradient(at).entries).max() < 1e-15
    assert theorem_holds(model) and not list_is_complete(model)


def test_a_cost_of_strength_zero_may_be_paid_at_rest():
    """Why the theorem is about costs with alpha > 0."""
    model = two_strategies(alpha=0.0, mu2=0.1)
    problem = Problem.from_numbers(model, SMALL, dict.fromkeys(SMALL, 1.0))
    learnt = State(model.factors, [1.0] * 4, [0.0] * 4)
    assert theorem_holds(model) and not np.any(problem.gradient(learnt).entries)
    assert problem.losses(learnt)["competition"] > 0.01


@pytest.mark.parametrize("norm", [0.01, 0.3, 30.0])
def test_critical_sets_do_not_depend_on_the_scale_of_the_targets(norm):
    model = two_strategies()
    found, expected = (
        {
            each.describe()
            for each in critical_sets(Problem.from_numbers(model, SMALL, dict.fromkeys(SMALL, n)))
        }
        for n in (norm, 1.0)
    )
    assert found == expected


def test_unlearnt_points_are_no_minima_though_the_hessian_has_no_negative_direction():
    """The lemma of the theory: b and d turn by epsilon, c moves by eta epsilon^2."""
    problem = Problem.from_numbers(two_strategies(), SMALL, dict.fromkeys(SMALL, 1.0))
    w = [0.0, 0.5, 0.0, 0.5]
    at = State(problem.model.factors, [0.0] * 4, w)
    assert not np.any(problem.gradient(at).entries) and spectrum(problem, at).count(-1) == 0
    for epsilon in (0.1, 0.01):
        near = [0.0, epsilon, 0.1 * epsilon**2, epsilon]
        lower = problem.losses(at.with_entries([*near, *w]))
        assert lower["total"] < problem.losses(at)["total"]


@pytest.mark.parametrize("name", ["two_strategies", "no_sharing", "three_strategies"])
def test_the_sign_of_the_hessian_is_what_perturbed_flows_do(name):
    """From near a minimum the flow returns to its loss; from near a saddle it falls below it."""
    model = named_model(name)
    dims = dict.fromkeys(model.factors, 3)
    problem = Problem(model, random_draw(1, dims))
    rng = np.random.default_rng(0)
    for each in critical_sets(problem):
        u, w = (
            {f: x + 1e-3 * rng.standard_normal() for f, x in zip(model.factors, part, strict=True)}
            for part in (each.state.overlap, each.state.orthogonal)
        )
        near = canonical_draw(dims, dict(problem.norms), u, {f: abs(x) for f, x in w.items()})
        flow = solve(model, near, method="flow", threshold=0.0, t1=1e9)
        rest = problem.losses(each.state)["total"]
        fell = flow.losses["total"][-1] - rest
        if each.kind is Kind.MINIMUM:
            assert abs(fell) <= 1e-9
        else:
            assert fell < -1e-2 * rest


def test_the_spectrum_is_that_of_the_full_hessian():
    from tests.properties import definition

    model = two_strategies(mu2=0.2).with_rates(c=2.0).with_clamped("b")
    draw = random_draw(4, SMALL)
    moving = {"a": 1.0, "c": 2.0, "d": 1.0}
    h = 1e-5

    def slope(flat: np.ndarray) -> np.ndarray:
        cuts = np.split(flat, np.cumsum([SMALL[f] for f in moving])[:-1])
        state = draw.initial | dict(zip(moving, cuts, strict=True))
        found = definition.gradient(model, draw, state)
        return np.concatenate([found[f] for f in moving])

    start = np.concatenate([draw.initial[f] for f in moving])
    full = np.array(
        [(slope(start + h * e) - slope(start - h * e)) / (2 * h) for e in np.eye(len(start))]
    )
    root = np.sqrt(np.concatenate([np.full(SMALL[f], rate) for f, rate in moving.items()]))
    problem = Problem(model, draw)
    found = spectrum(problem, problem.start)
    np.testing.assert_allclose(
        np.repeat(found.values, found.multiplicity),
        np.linalg.eigvalsh(root[:, None] * full * root),
        atol=1e-7,
    )


def test_coexistence_has_its_exponents_and_prefactors():
    norms, zero = dict.fromkeys(SMALL, 1.7), dict.fromkeys(SMALL, 0.0)
    start = canonical_draw(SMALL, norms, {"a": 0.9, "b": 1.1, "c": 1.3, "d": 0.7}, zero)
    flow = solve(two_strategies(mu2=0.05), start, method="flow", threshold=0.0, t1=1e9)
    late = coexistence_asymptotics(flow.problem)
    k = int(np.searchsorted(flow.times, 1e8))
    t = flow.times[k]
    shared = np.sqrt(np.abs(flow.overlap[1] * flow.overlap[2]))
    assert shared[k] == pytest.approx(late.shared(t), rel=2e-3)
    assert abs(flow.overlap[0, k]) == pytest.approx(late.own(t)[0], rel=2e-3)
    assert abs(flow.overlap[3, k]) == pytest.approx(late.own(t)[1], rel=2e-3)
    assert flow.losses["competition"][k] == pytest.approx(late.competition(t), rel=2e-3)
    last = flow.times > 1e7
    for values, exponent in (
        (shared, 1 / 10),
        (np.abs(flow.overlap[0]), -1 / 5),
        (flow.losses["competition"], -4 / 5),
    ):
        slope = np.polyfit(np.log(flow.times[last]), np.log(values[last]), 1)[0]
        assert slope == pytest.approx(exponent, rel=5e-3)
