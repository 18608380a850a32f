"""Curves with known parameters."""

import pytest

from coopetition.fitting.estimate import fit
from coopetition.fitting.posterior import sample_posterior
from coopetition.fitting.simulation import simulate

TRUTH = dict(icl_at=2e5, icl_width=5e4, ciwl_at=6e5, ciwl_width=1e5, loss=0.8)


@pytest.fixture(scope="session")
def truth():
    return TRUTH


@pytest.fixture(scope="session")
def race():
    """Curves of `logistic_race` with independent noise of 1 %."""
    return simulate("logistic_race", TRUTH, noise=0.01, correlation=0.0)


@pytest.fixture(scope="session")
def race_fit(race):
    return fit(race, "logistic_race", n_screened=256, n_starts=4)


@pytest.fixture(scope="session")
def race_posterior(race_fit):
    return sample_posterior(race_fit, n=400)
