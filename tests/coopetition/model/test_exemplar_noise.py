"""Error floors of Gaussian classes: against simulation, quadrature and limits."""

import math
from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import binomtest, chi2, ncx2

from coopetition.model.exemplar_noise import cue_noise, error_floors
from coopetition.model.two_cues import TwoCues
from coopetition.tools.errors import UsageError

noises = st.floats(1e-3, 50)
dimensions = st.integers(1, 64)
FALSE_ALARM = 1e-4  # of a comparison; of 13, so that correct formulas fail with 1 seed in 770


@pytest.mark.parametrize("d", [1, 4, 16])
@pytest.mark.parametrize("noise", [0.6, 1.3])
def test_the_floors_are_the_errors_of_simulated_comparisons(noise, d):
    rng, n = np.random.default_rng([d, int(10 * noise)]), 100_000
    classes = rng.standard_normal((2, n, d))
    query = classes[0] + noise * rng.standard_normal((n, d))
    exemplars = classes + noise * rng.standard_normal((2, n, d))
    floors = error_floors(noise, d)
    for expected, (own, other) in (
        (floors.nearest, exemplars),
        (floors.ciwl, classes),
    ):
        wrong = ((query - own) ** 2).sum(-1) > ((query - other) ** 2).sum(-1)
        assert binomtest(int(wrong.sum()), n, expected).pvalue > FALSE_ALARM


def test_the_best_comparison_is_the_bayes_rule_and_errs_as_often_as_it_says():
    """Decide by the densities of the query given each exemplar: normal around u / (1 + tau^2)."""
    rng, n, d, noise = np.random.default_rng(0), 100_000, 4, 0.8
    classes = rng.standard_normal((2, n, d))
    query = classes[0] + noise * rng.standard_normal((n, d))
    exemplars = classes + noise * rng.standard_normal((2, n, d))
    covariance = np.array([[1 + noise**2, 1], [1, 1 + noise**2]])  # of exemplar and query
    inverse = np.linalg.inv(covariance)
    alone = 1 / (1 + noise**2)  # the exemplar's own density does not depend on the query

    def log_density(u):
        joint = inverse[0, 0] * u**2 + 2 * inverse[0, 1] * u * query + inverse[1, 1] * query**2
        return -(joint - alone * u**2).sum(-1) / 2

    wrong = log_density(exemplars[0]) < log_density(exemplars[1])
    expected = error_floors(noise, d).best
    assert binomtest(int(wrong.sum()), n, expected).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("noise", "d"), [(0.05, 1), (0.6, 16), (0.81, 16), (3.0, 5), (20.0, 40)])
def test_the_floors_have_an_error_below_1e_8(noise, d):
    """Quadrature over the distance of the query from one reference, given which the rest is known.

    CIWL: an error is a normal number beyond half the distance of the class vectors, sqrt(2) chi.
    ICL, for references of variance v each, whose own one has covariance k with the query.
    """
    floors, s = error_floors(noise, d), 1 + noise**2

    def over_chi2(function):
        ends = chi2.ppf([1e-13, 0.001, 0.1, 0.5, 0.9, 0.999, 1 - 1e-13], d)
        pieces = pairwise(ends)
        integrals = (
            quad(lambda x: function(x) * chi2.pdf(x, d), *each, epsabs=1e-13) for each in pieces
        )
        return sum(value for value, _ in integrals)

    ciwl = over_chi2(lambda x: ndtr(-math.sqrt(2 * x) / (2 * noise)))
    assert floors.ciwl == pytest.approx(ciwl, abs=1e-8)
    for floor, factor in ((floors.nearest, 1), (floors.best, 1 / s)):
        own = s - 2 * factor + factor**2 * s
        other, shared = s + factor**2 * s, s - factor
        rest = other - shared**2 / own

        def closer(x, own=own, shared=shared, rest=rest):
            return ncx2.cdf(own * x / rest, d, (shared / own) ** 2 * own * x / rest)

        assert floor == pytest.approx(over_chi2(closer), abs=1e-8)


@given(noises, dimensions)
def test_icl_never_errs_less_than_ciwl(noise, d):
    floors = error_floors(noise, d)
    assert 0 <= floors.ciwl <= floors.best <= floors.nearest <= 0.5


@given(noises, noises, dimensions)
def test_floors_rise_with_noise_and_fall_with_features(one, other, d):
    low, high = (astuple(error_floors(each, d)) for each in sorted((one, other)))
    assert all(a <= b for a, b in zip(low, high, strict=True))
    more = astuple(error_floors(one, d + 1))
    assert all(
        a <= b * (1 + 1e-9) for a, b in zip(more, astuple(error_floors(one, d)), strict=True)
    )


@given(dimensions)
def test_no_noise_gives_no_error_and_much_noise_gives_chance(d):
    assert astuple(error_floors(0, d)) == (0, 0, 0)
    assert astuple(error_floors(1e-9, d)) == pytest.approx((0, 0, 0), abs=1e-8)
    assert astuple(error_floors(1e9, d)) == pytest.approx((0.5,) * 3, abs=1e-7)
    assert astuple(error_floors(1e300, d)) == pytest.approx((0.5,) * 3)


@given(st.floats(1e-12, 0.49))
def test_a_strong_cue_alone_errs_as_often_as_its_noise_is_computed_from(error):
    noise = cue_noise(error)
    strong = TwoCues(noise, noise).accuracies(1e6 / noise, 0)
    assert 1 - strong["icl"] == pytest.approx(error, rel=1e-6, abs=1e-15)


def test_a_cue_without_error_has_no_noise_and_one_at_chance_has_no_end():
    assert cue_noise(0) == 0
    assert cue_noise(0.5) == math.inf
    with pytest.raises(UsageError):
        cue_noise(0.6)


@pytest.mark.parametrize(("noise", "d"), [(-0.1, 4), (math.nan, 4), (0.5, 0), (0.5, 2.5)])
def test_impossible_classes_are_refused(noise, d):
    with pytest.raises(UsageError):
        error_floors(noise, d)


def test_a_negative_error_is_refused():
    with pytest.raises(UsageError, match="error"):
        cue_noise(-0.1)
