"""The published toy runs, reproduced."""

import numpy as np
import pytest

from coopetition import Status, Trajectory, solve, two_strategies
from coopetition.model.initial_state import published_draw
from coopetition.model.presets import CIWL, COMPETITION, ICL, PUBLISHED_SEEDS
from tests.conftest import REFERENCE

STOPPED_AT = {0: 8834, 1: 14482, 2: None, 3: 6138, 4: 9306, 5: 5104, 7: 9620}


def solve_seed(seed: int, **settings) -> Trajectory:
    return solve(two_strategies(), published_draw(seed), **settings)


@pytest.mark.parametrize("seed", STOPPED_AT)
def test_descent_stops_on_the_published_step(seed):
    trajectory = solve_seed(seed)
    assert trajectory.stopped_at == STOPPED_AT[seed]
    assert trajectory.status is (Status.LIMIT if seed == 2 else Status.STOPPED)


@pytest.mark.slow
def test_without_irreducible_error_all_but_two_draws_stop():
    model = two_strategies(mu1=0.0)
    stopped = [
        solve(model, published_draw(seed), threshold=1e-3).stopped_at for seed in PUBLISHED_SEEDS
    ]
    assert [seed for seed in PUBLISHED_SEEDS if stopped[seed] is None] == [2, 9]


def test_losses_of_seed_7_are_the_published_ones():
    published = np.genfromtxt(REFERENCE / "minimal_model_seed7.csv", delimiter=",", names=True)
    steps = published["step"].astype(int)
    losses = solve_seed(7).losses
    for column, name in {
        "loss": "total",
        "mechanism_1_loss": ICL,
        "mechanism_2_loss": CIWL,
        "competition_cost": COMPETITION,
    }.items():
        np.testing.assert_allclose(losses[name][steps], published[column], rtol=0, atol=1e-6)


def test_icl_of_seed_7_is_transient_and_ciwl_takes_over():
    events = solve_seed(7).events()
    assert None not in (events.emergence, events.peak, events.crossing, events.unlearning)
    assert events.emergence < events.peak < events.crossing < events.unlearning
    # read off the paper's figure 5a
    assert events.emergence == pytest.approx(4700, abs=100)
    assert events.peak == pytest.approx(5750, abs=250)


def test_icl_persists_without_irreducible_error():
    """mu1 = 0: L1 = 0 with d = 0 is a minimum (DESIGN 2.3, case 3)."""
    model = two_strategies(mu1=0.0)
    trajectory = solve(model, published_draw(7), threshold=1e-4, t1=40000.0)
    events = trajectory.events()
    assert events.emergence is not None
    assert events.peak is None and events.unlearning is None, "the loss falls to the end"
    assert trajectory.final_losses()[ICL] < 1e-3


def test_flow_is_the_limit_of_small_steps():
    """The distance of descent from the flow halves with the step (first order)."""
    at = 400.0
    settings = {"threshold": 0.0}
    flow = solve_seed(5, method="flow", t1=at, **settings)
    gaps = []
    for step in (1.0, 0.5, 0.25):
        descent = solve_seed(5, step=step, t1=at, **settings)
        gaps.append(np.abs(descent.overlap[:, -1] - flow.overlap[:, -1]).max())
    assert flow.times[-1] == descent.times[-1] == at
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.15)
    assert gaps[1] / gaps[2] == pytest.approx(2, rel=0.15)
