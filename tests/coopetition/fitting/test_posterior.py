"""Posterior samples: they hold the truth, repeat with their seed, and say if they are unsure."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from coopetition.fitting import posterior
from coopetition.fitting.estimate import fit
from coopetition.fitting.posterior import r_hat_of, sample_posterior
from coopetition.fitting.registry import theory_of
from coopetition.fitting.simulation import simulate
from coopetition.tools.errors import UsageError
from tests.benchmarks.recovery import narrow_search, random_values
from tests.coopetition.conftest import TRUTH


def test_the_truth_is_in_the_posterior(race_posterior, race_fit):
    assert (
        race_posterior.converged
        and not race_posterior.cautions
        and race_posterior.r_hat < 1.01
        and race_posterior.effective_sample_size > 400
    )
    for name, each in race_posterior.estimates().items():
        assert each.low < TRUTH[name] < each.high
        assert each.status == "identifiable"
    for name, curve in race_fit.curves.items():
        for sample, value in zip(
            race_posterior.levels[name].T, (curve.floor, curve.gain), strict=True
        ):
            assert abs(sample.mean() - value) < sample.std() + 0.01
        assert race_posterior.noise[name][:, 0].mean() == pytest.approx(curve.sigma, rel=0.2)
        assert (race_posterior.noise[name][:, 1] < 0.6).all()


def test_a_sample_is_repeated_by_its_seed_with_any_number_of_processes(race_fit):
    quick = {"n": 50, "max_calls": 1, "seed": 3}
    one, two = (sample_posterior(race_fit, **quick, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one.thetas, two.thetas)
    for name in one.levels:
        np.testing.assert_array_equal(one.levels[name], two.levels[name])
        np.testing.assert_array_equal(one.noise[name], two.noise[name])
    whole = sample_posterior(race_fit, n=50.0, max_calls=1.0, seed=3.0)
    np.testing.assert_array_equal(one.thetas, whole.thetas)
    again = pickle.loads(pickle.dumps(one))
    assert again.log_evidence == one.log_evidence and "50 samples" in repr(again)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_place_that_exploring_missed_is_explored_when_a_point_there_has_much_weight():
    """Recovery problem 0 of the toy, whose second run does not converge otherwise."""
    theory, rng = theory_of("toy"), np.random.default_rng([0, 0])
    curves = simulate("toy", random_values(theory, rng), seed=int(rng.integers(2**32)))
    sampled = sample_posterior(fit(curves, narrow_search(theory), seed=0), seed=0)
    assert sampled.converged and sampled.log_evidence_error < 0.1


@pytest.mark.parametrize("poor", [{"effective_sample_size": 390.0}, {"r_hat": 1.02}])
def test_a_small_sample_and_one_of_runs_that_disagree_have_not_converged(race_posterior, poor):
    short = replace(race_posterior, **poor)
    assert not short.converged and "not converged" in repr(short)
    assert {each.status for each in short.estimates().values()} == {"not converged"}


def test_wrong_arguments_are_named(race_fit):
    with pytest.raises(UsageError, match="max_calls is 0"):
        sample_posterior(race_fit, max_calls=0)
    with pytest.raises(UsageError, match="a fit, as"):
        sample_posterior(race_fit.problem.runs[0])


def test_r_hat_tells_chains_apart():
    rng = np.random.default_rng(0)
    same = rng.standard_normal((2, 1000, 2))
    assert r_hat_of(same) < posterior.MAX_R_HAT
    assert r_hat_of(same + np.array([[[0.0]], [[0.5]]])) > posterior.MAX_R_HAT
    assert r_hat_of(same * np.array([[[1.0]], [[1.5]]])) > posterior.MAX_R_HAT
