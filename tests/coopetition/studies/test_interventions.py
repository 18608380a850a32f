"""Cooperation and competition, against the published draws and random ones."""

from dataclasses import replace

import numpy as np
import pytest

from coopetition import descend, two_strategies
from coopetition.dynamics.batch import random_batch
from coopetition.model.presets import PUBLISHED_DIMS, no_competition
from coopetition.studies.interventions import (
    circuit,
    competition,
    cooperation,
    effect_map,
    icl_alone,
    late_start,
    outcome,
    rivalry,
    sharing,
    without_sharing,
)
from coopetition.studies.phases import Axis, batch_at
from coopetition.tools.errors import UsageError
from paper_figures.core.published import published_batch

SMALL = {"a": 3, "b": 3, "c": 3, "d": 4}


# Time until ICL's loss is at half of the plateau, flow, with CIWL and with d absent: worked out
# independently when the project was designed
WITH_CIWL = [3544, 9597, 28485, 2154, 4584, 138, 3278, 4658, 300, 20454, 2939, 474]
ALONE = [3186, 773, 7163, 634, 1073, 103, 6583, 1204, 187, 988, 1184, 192]


def test_ciwl_delays_icl_in_11_of_12_published_draws():
    batch, horizon = published_batch(), 40000.0
    both = outcome(batch, horizon, step=0.25).emergence
    alone = outcome(icl_alone(batch), horizon, step=0.25).emergence
    np.testing.assert_allclose(both, WITH_CIWL, rtol=0.005, atol=1)
    np.testing.assert_allclose(alone, ALONE, rtol=0.005, atol=1)
    assert (cooperation(batch, horizon).values > 0).sum() == 1


def test_emergence_is_that_of_single_solutions():
    """Also where ICL is learnt at the start, as the first draw is made to."""
    batch = published_batch()
    overlap, orthogonal = batch.overlap.copy(), batch.orthogonal.copy()
    overlap[:3, 0] = batch.norms[:3, 0]
    orthogonal[:3, 0] = 0.0
    batch = replace(batch, overlap=overlap, orthogonal=orthogonal)
    found = outcome(batch, 2000.0)  # every step is a sample
    for k in range(batch.n):
        single = descend(*batch.single(k), n_steps=2000)
        emergence = single.events().emergence
        assert found.emergence[k] == pytest.approx(np.inf if emergence is None else emergence)
        assert found.learnt[k] == pytest.approx((single.excess("icl") < 0).sum(), abs=1)
    assert found.emergence[0] == 0.0 and np.isfinite(found.emergence[1:]).sum() == 3


def random_problems(n: int = 100, **point: float):
    return batch_at(two_strategies(), PUBLISHED_DIMS, n, 0, point)


def test_cooperation_changes_its_sign_with_the_size_of_d():
    """Fixed draws; the shares (0.2 and 0.85) are far from one half for 100 of them."""
    large, small = (cooperation(random_problems(scale_d=s), 30000.0) for s in (1.0, 0.1))
    assert large.median < 0 and large.positive < 0.35
    assert small.median > 0 and small.positive > 0.7


def test_without_its_orthogonal_part_d_helps():
    batch = random_problems()
    aligned = batch.orthogonal.copy()
    aligned[batch.model.factors.index("d")] = 0.0
    found = cooperation(replace(batch, orthogonal=aligned), 30000.0)
    assert found.median > 0 and found.positive > 0.5


def test_ciwl_takes_from_the_life_of_icl_by_competition():
    batch = random_problems()
    for effect in (competition, rivalry):
        found = effect(batch, 30000.0)
        assert found.positive > 0.9
        assert found.censored.mean() > 0.9  # ICL alone is learnt at any horizon: a bound


def test_sharing_and_no_sharing_differ_by_the_split_alone():
    model = two_strategies(mu2=0.2).with_rates(b=0.5)
    batch = random_batch(model, SMALL, 3, np.random.default_rng(0))
    split = without_sharing(batch)
    assert split.model.rates == (1.0, 0.5, 1.0, 1.0, 0.5, 1.0)
    assert split.model.mechanism("ciwl").mu == 0.2
    before, after = (e.problem.losses(e.problem.start) for e in (batch, split))
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-12)
    assert sharing(random_problems(20), 20000.0).values.shape == (20,)


def test_a_late_circuit_helps_and_a_late_start_does_not():
    batch = random_problems()
    early, late = (circuit(batch, s, 30000.0) for s in (300, 20000))
    assert early.positive < 0.2 and late.positive > 0.75
    assert late_start(batch, 300, 30000.0).censored.mean() < 0.2
    assert late_start(batch, 20000, 30000.0).censored.mean() > 0.8  # ICL never comes


def test_interventions_refuse_other_models_and_settings():
    other = random_batch(no_competition(), PUBLISHED_DIMS, 2, np.random.default_rng(0))
    for effect in (cooperation, sharing, rivalry):
        with pytest.raises(UsageError, match="two_strategies"):
            effect(other, 100.0)
    for horizon in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(UsageError, match="horizon"):
            cooperation(random_problems(2), horizon)
    with pytest.raises(UsageError, match="diverged"):
        cooperation(random_problems(2, initial_scale=100.0), 100.0)
    x, y = Axis.between("alpha", 0.01, 1.0, 2), Axis.between("scale_d", 0.1, 1.0, 2)
    for axes, n_draws in (((x, x), 8), ((x, y), 1.5)):
        with pytest.raises(UsageError):
            effect_map(cooperation, two_strategies(), *axes, n_draws=n_draws, horizon=5000.0)


def test_effect_maps_are_effects_point_by_point():
    x, y = Axis.between("alpha", 0.01, 1.0, 2, log=True), Axis.between("scale_d", 0.1, 1.0, 2)
    size, positive = effect_map(cooperation, two_strategies(), x, y, n_draws=8, horizon=5000.0)
    point = {"alpha": x.values[1], "scale_d": y.values[0]}
    alone = cooperation(batch_at(two_strategies(), PUBLISHED_DIMS, 8, 0, point), 5000.0)
    assert (size[0, 1], positive[0, 1]) == (alone.median, alone.positive)
