"""Frequencies of theories among runs, against exact integrals and limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.special import betaln, gammaln
from scipy.stats import beta

from coopetition.fitting.random_effects import _free_energy, random_effects, summed_by_group
from coopetition.tools.errors import UsageError

TABLES = arrays(
    float,
    st.tuples(st.integers(1, 12), st.integers(2, 5)),
    elements=st.floats(-50, 50, allow_subnormal=False),
)


def certain(counts):
    """Log evidences of runs that are described by one theory without doubt."""
    return 200.0 * np.repeat(np.eye(len(counts)), counts, axis=0)


def test_runs_without_doubt_give_the_exact_dirichlet_posterior():
    found = random_effects(certain([9, 3]))
    np.testing.assert_allclose(found.counts, [10, 4], atol=1e-9)
    exact = beta.sf(0.5, 10, 4)
    np.testing.assert_allclose(found.exceedance, [exact, 1 - exact], atol=0.003)
    # evidence of unequal frequencies: the integral of r^9 (1 - r)^3; of equal ones: 2^-12
    log_odds = betaln(10, 4) - 12 * np.log(0.5)
    assert found.omnibus_risk == pytest.approx(1 / (1 + np.exp(log_odds)), rel=1e-6)
    shown = (1 - found.omnibus_risk) * found.exceedance + found.omnibus_risk / 2
    np.testing.assert_allclose(found.protected_exceedance, shown)


def test_the_exceedance_probability_is_that_of_the_published_example():
    """Stephan et al. 2009: counts 11.806 and 2.194 have the exceedance probability 0.997."""
    assert beta.sf(0.5, 11.806, 2.194) == pytest.approx(0.997, abs=5e-4)


def test_runs_that_do_not_tell_leave_all_theories_equal():
    found = random_effects(np.zeros((8, 4)) + np.arange(8)[:, None])
    np.testing.assert_allclose(found.frequencies, 0.25)
    np.testing.assert_allclose(found.protected_exceedance, 0.25, atol=0.005)
    assert found.omnibus_risk > 0.5


def test_the_free_energy_is_the_exact_evidence_without_doubt_and_below_it_with_doubt():
    counts = np.array([5, 2, 1])
    found = random_effects(certain(counts))
    exact = gammaln(3) + gammaln(counts + 1).sum() - gammaln(counts.sum() + 3)
    energy = _free_energy(certain(counts), found.counts, found.assignments)
    assert energy == pytest.approx(exact + 200 * counts.sum(), abs=1e-6)
    doubtful = np.random.default_rng(0).normal(0, 1, (10, 2))
    found = random_effects(doubtful)
    odds = np.exp(doubtful)
    exact, _ = quad(lambda r: np.prod(odds @ [r, 1 - r]), 0, 1)
    energy = _free_energy(doubtful, found.counts, found.assignments)
    assert np.log(exact) - 1.5 < energy <= np.log(exact)


@given(TABLES, st.randoms(use_true_random=False))
def test_frequencies_depend_on_differences_only_and_follow_the_order_of_theories(table, random):
    found = random_effects(table)
    assert found.counts.sum() == pytest.approx(table.shape[1] + len(table))
    assert 0 <= found.omnibus_risk <= 1
    assert found.protected_exceedance.sum() == pytest.approx(1)
    order = list(range(table.shape[1]))
    random.shuffle(order)
    other = random_effects(table[:, order] + np.linspace(-3, 3, len(table))[:, None])
    np.testing.assert_allclose(other.counts, found.counts[order], atol=1e-3)


def test_sums_are_by_group_and_above_the_reference():
    evidence = [[1.0, 3.0], [2.0, 1.0], [5.0, 9.0]]
    found = summed_by_group(evidence, ["a", "b", "a"], 0)
    assert [*found] == ["a", "b"]
    np.testing.assert_array_equal(found["a"], [0, 6])
    np.testing.assert_array_equal(found["b"], [0, -1])


@pytest.mark.parametrize("table", [[1.0, 2.0], [[1.0], [2.0]], [[1.0, np.nan]]])
def test_what_is_no_table_of_evidences_is_refused(table):
    with pytest.raises(UsageError):
        random_effects(table)
