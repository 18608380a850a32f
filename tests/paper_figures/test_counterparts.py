"""What the page's table of the transformer beside the toy says of the toy.

Its other numbers of the toy are those of figure theory 6: `tests/coopetition/theory`.
"""

import numpy as np

from coopetition.dynamics.batch import descend_batch, sample_steps
from coopetition.dynamics.events import excess, first_learnt_time
from coopetition.model.presets import CIWL, PUBLISHED_DIMS, two_strategies
from coopetition.studies.interventions import ciwl_alone
from coopetition.studies.phases import batch_at

HORIZON = 30_000


def test_ciwl_comes_later_without_icl_in_8_of_10_draws():
    """Of 200 random ones, those in which it comes at all."""
    drawn = batch_at(two_strategies(), PUBLISHED_DIMS, 200, 0, {})
    both, alone = (_learnt_at(each) for each in (drawn, ciwl_alone(drawn)))
    some = np.isfinite(both) | np.isfinite(alone)
    share = (np.minimum(alone, HORIZON) > np.minimum(both, HORIZON))[some].mean()
    assert round(10 * share) == 8


def _learnt_at(ensemble) -> np.ndarray:
    run = descend_batch(ensemble, sample_steps(HORIZON, 2000))
    above = excess(run.losses[CIWL], ensemble.problem.unlearnt_losses()[CIWL])
    found = [first_learnt_time(run.times, curve) for curve in above.T]
    return np.array([np.inf if time is None else time for time in found])
