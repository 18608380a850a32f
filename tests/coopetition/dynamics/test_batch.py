"""Compiled batches are the single solver, many times over."""

from dataclasses import replace

import numpy as np
import pytest

from coopetition import descend, random_draw, solve, two_strategies
from coopetition.dynamics.batch import descend_batch, random_batch, sample_steps
from coopetition.model.presets import MODELS, named_dims, named_model
from coopetition.model.reduced import Problem
from coopetition.tools.errors import UsageError
from paper_figures.core.published import published_batch

SMALL = {"a": 3, "b": 3, "c": 3, "d": 4}


def test_batches_agree_with_the_single_solver_over_the_published_time():
    batch = replace(published_batch(), parameters={"mu1": np.linspace(0, 0.2, 12)})
    run = descend_batch(batch, sample_steps(16000, 100))
    for k in (0, 5, 7, 11):
        single = solve(*batch.single(k), threshold=0.0)
        np.testing.assert_allclose(single.overlap[:, -1], run.overlap[:, k], rtol=0, atol=1e-9)
        np.testing.assert_allclose(single.orthogonal[:, -1], run.orthogonal[:, k], atol=1e-9)
        for name, values in run.losses.items():
            np.testing.assert_allclose(single.losses[name][::160], values[:, k], atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_batches_of_every_model_clamped_too(name):
    model = named_model(name)
    model = model.with_rates(**{model.factors[0]: 0.5}).with_clamped(model.factors[-1])
    batch = random_batch(model, named_dims(model), 5, np.random.default_rng(0))
    run = descend_batch(batch, [0, 7, 50], step=0.5)
    single = descend(*batch.single(3), step=0.5, n_steps=50)
    np.testing.assert_allclose(single.overlap[:, -1], run.overlap[:, 3], atol=1e-11)
    np.testing.assert_allclose(single.losses["total"][[0, 7, 50]], run.losses["total"][:, 3])


def test_random_batches_have_the_distribution_of_random_draws():
    """Kolmogorov-Smirnov on 12 statistics of 600 draws each; false alarms: 12 x 1e-5 in all."""
    from scipy.stats import ks_2samp

    model, n = two_strategies(), 600
    batch = random_batch(model, SMALL, n, np.random.default_rng(0), initial_scale=0.7)
    for k, factor in enumerate(model.factors):
        draws = [Problem(model, random_draw(seed, SMALL, 0.7)) for seed in range(n)]
        for mine, theirs in (
            (batch.norms[k], [each.norms[factor] for each in draws]),
            (batch.overlap[k], [each.start[factor].overlap for each in draws]),
            (batch.orthogonal[k], [each.start[factor].orthogonal for each in draws]),
        ):
            assert ks_2samp(mine, theirs).pvalue > 1e-5


def test_batches_refuse_what_makes_no_sense():
    rng, model = np.random.default_rng(0), two_strategies()
    batch = random_batch(model, SMALL, 2, rng)
    for mistake in (
        lambda: random_batch(model, {"a": 3}, 2, rng),
        lambda: random_batch(model, SMALL | {"a": 0}, 2, rng),
        lambda: random_batch(model, SMALL, 2, rng, parameters={"icl": 1.0}),
        lambda: random_batch(model, SMALL, 2, rng, parameters={"mu1": -1.0}),
        lambda: random_batch(model, SMALL, 2, rng, initial_scale=-1.0),
        lambda: descend_batch(batch, [5, 3]),
        lambda: descend_batch(batch, [0, 3], step=0.0),
    ):
        with pytest.raises(UsageError):
            mistake()
