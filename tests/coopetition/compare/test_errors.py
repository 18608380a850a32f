"""Errors of curves, and what a fit makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import fit
from coopetition.compare.intervals import mean_of_seeds, with_binomial_errors, with_reading_error
from coopetition.tools.errors import UsageError

X = np.linspace(0, 1e6, 60)


def rising(noise: float = 0.0, seed: int = 0) -> Curves:
    rng = np.random.default_rng(seed)
    y = 0.8 - 0.6 / (1 + np.exp((X - 4e5) / 6e4))
    return Curves(X, {"ciwl": y + noise * rng.standard_normal(len(X))}, metric="accuracy")


def test_binomial_errors_are_those_of_shares():
    """Against the spread of drawn shares; the deviation of 4,000 is known to 4 % (3.6 s.d.)."""
    curves = Curves(np.arange(3.0), {"icl": np.array([0.5, 0.9, 1.0])}, metric="accuracy")
    errors = with_binomial_errors(curves, 400).errors["icl"]
    drawn = np.random.default_rng(0).binomial(400, [0.5, 0.9], (4000, 2)) / 400
    np.testing.assert_allclose(errors[:2], drawn.std(0), rtol=0.04)
    assert 0 < errors[2] < 0.005
    with pytest.raises(UsageError, match="errors by sequences are of accuracies"):
        with_binomial_errors(replace(curves, metric="loss"), 400)
    with pytest.raises(UsageError, match="of an evaluation is 0"):
        with_binomial_errors(curves, 0)


def test_a_sample_that_is_known_badly_counts_less():
    clean = rising()
    wrong = clean.values["ciwl"].copy()
    wrong[30:33] -= 0.3
    errors = np.where(wrong == clean.values["ciwl"], 1e-3, 10.0)
    trusting = Curves(X, {"ciwl": wrong}, metric="accuracy")
    wary = replace(trusting, errors={"ciwl": errors})
    settings = {"n_screened": 256, "n_starts": 4, "fixed": {"icl_at": 0.0, "loss": 0.0}}
    one, two = (fit(each, "logistic_race", **settings) for each in (trusting, wary))
    off = [np.abs(np.delete(each.curves["ciwl"].fitted - clean.values["ciwl"], [30, 31, 32])).max()
           for each in (one, two)]  # fmt: skip
    assert off[1] < 1e-3 < 0.02 < off[0]


def test_the_mean_of_seeds_has_its_standard_error():
    runs = [rising(0.1, seed) for seed in range(50)]
    found = mean_of_seeds(runs)
    assert found.errors["ciwl"].mean() == pytest.approx(0.1 / np.sqrt(50), rel=0.05)
    assert np.abs(found.values["ciwl"] - rising().values["ciwl"]).max() < 0.06
    with pytest.raises(UsageError, match="1 run is given"):
        mean_of_seeds(runs[:1])
    with pytest.raises(UsageError, match="was not measured at the same sequences"):
        mean_of_seeds([runs[0], replace(runs[1], sequences=X + 1)])


def test_errors_go_with_their_samples():
    curves = with_reading_error(rising(), 0.05)
    part = curves.between(2e5, 6e5).thinned(7).select(("ciwl",))
    assert part.errors["ciwl"].shape == part.sequences.shape == (7,)
    again = Curves.of_dict(part.to_dict())
    np.testing.assert_array_equal(again.errors["ciwl"], part.errors["ciwl"])
    with pytest.raises(UsageError, match="the reading error is 0"):
        with_reading_error(curves, 0.0)
    with pytest.raises(UsageError, match="errors of curve ciwl are negative or missing"):
        fit(replace(curves, errors={"ciwl": -np.ones(len(X))}), "logistic_race")
