"""Identifiable and unidentifiable combinations of parameters."""

import numpy as np
import pytest

from coopetition.fitting.estimate import fit
from coopetition.fitting.identifiability import find_directions, standard_deviations, status_of

X = np.linspace(0, 1, 50)


def test_a_combination_without_effect_is_named():
    """Only a + b and c have an effect."""
    found = find_directions(np.stack([X, X, X**2], 1), ("a", "b", "c"))
    assert np.isinf(found[0].deviation) and str(found[0]) in ("+1 a -1 b", "-1 a +1 b")
    spread = standard_deviations(found, ("a", "b", "c"))
    assert np.isinf(spread[:2]).all() and np.isfinite(spread[2])


def test_deviations_are_those_of_least_squares():
    jacobian, names = np.random.default_rng(0).standard_normal((30, 4)), ("a", "b", "c", "d")
    expected = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))
    found = find_directions(jacobian, names)
    np.testing.assert_allclose(standard_deviations(found, names), expected)


@pytest.mark.parametrize(
    ("x", "low", "high", "status"),
    [
        (0.5, 0.4, 0.6, "identifiable"),
        (0.5, 0.0, 0.6, "no lower bound"),
        (0.5, 0.4, 1.0, "no upper bound"),
        (0.5, 0.0, 1.0, "unconstrained"),
        (1.0, 0.9, 1.0, "at bound"),
    ],
)
def test_each_interval_has_its_status(x, low, high, status):
    assert status_of(x, low, high) == status


@pytest.mark.parametrize("theory", ["logistic_race", "spline"])
def test_parameters_of_unmeasured_curves_are_structurally_unidentifiable(race, theory):
    found = fit(race.select(("ciwl",)), theory, n_screened=128, n_starts=4)
    for name, each in found.parameters.items():
        is_measured = name.startswith("ciwl")
        expected = "identifiable" if is_measured else "structurally unidentifiable"
        assert each.status == expected, name
    if theory == "logistic_race":
        assert found.n_fitted == 2 + 2, "two of the growth, floor and gain"
