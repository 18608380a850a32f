"""What curves tell, and what they do not."""

import numpy as np
import pytest

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import fit
from coopetition.compare.identifiability import deviations, directions, status

X = np.linspace(0, 1, 50)


def test_a_combination_that_is_not_seen_is_named():
    """Of a sum and a product: only a + b is seen, and c."""
    slopes = np.stack([X, X, X**2], 1)
    found = directions(slopes, 1.0, ("a", "b", "c"))
    assert np.isinf(found[0].deviation) and str(found[0]) in ("+1 a -1 b", "-1 a +1 b")
    spread = deviations(found, ("a", "b", "c"))
    assert np.isinf(spread[:2]).all() and np.isfinite(spread[2])


def test_deviations_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    slopes = rng.standard_normal((30, 4))
    expected = np.sqrt(np.diag(np.linalg.inv(7.0 * slopes.T @ slopes)))
    names = ("a", "b", "c", "d")
    np.testing.assert_allclose(deviations(directions(slopes, 7.0, names), names), expected)


@pytest.mark.parametrize(
    ("place", "low", "high", "deviation", "told"),
    [
        (0.5, 0.4, 0.6, 0.1, "identifiable"),
        (0.5, 0.0, 0.6, 0.1, "open below"),
        (0.5, 0.4, 1.0, 0.1, "open above"),
        (0.5, 0.0, 1.0, 0.1, "open"),
        (1.0, 0.9, 1.0, 0.1, "at bound"),
        (0.5, 0.0, 1.0, np.inf, "not seen"),
    ],
)
def test_each_case_has_its_word(place, low, high, deviation, told):
    assert status(place, low, high, deviation) == told


def test_what_only_unmeasured_curves_show_is_not_seen():
    """Of two growths, those of the one that was measured."""
    y = 0.2 + 0.6 / (1 + np.exp((X - 0.4) / 0.06))
    found = fit(Curves(1e6 * X, {"ciwl": y}), "logistic_race", n_screened=128, n_starts=4)
    told = {name: each.status for name, each in found.parameters.items()}
    assert told == {
        "icl_at": "not seen",
        "icl_width": "not seen",
        "ciwl_at": "identifiable",
        "ciwl_width": "identifiable",
        "loss": "not seen",
    }
    assert found.n_numbers == 2 + 2, "two growth numbers, floor and gain"
