"""Collapse, plateau, takeover: closed forms and the slow system."""

import numpy as np
import pytest

from coopetition import Trajectory, random_draw, solve, two_strategies
from coopetition.model.draws import canonical_draw
from coopetition.model.presets import PUBLISHED_DIMS, named_dims, named_model
from coopetition.model.problem import project
from coopetition.theory.slow_flow import slow_times
from coopetition.theory.timescales import (
    State,
    after_collapse,
    collapse_time,
    elliptic_escape,
    escape_time,
)
from coopetition.theory.toleration import toleration
from coopetition.tools.errors import UsageError


def published_flow(seed: int) -> Trajectory:
    return solve(two_strategies(), random_draw(seed), method="flow", max_steps=10**6)


def test_the_slow_system_carries_plateau_and_takeover():
    """Errors of 24 draws; the figure `theory 5` has 500."""
    errors = []
    for seed in range(24):
        flow = published_flow(seed)
        events, state = flow.events(), after_collapse(flow)
        slow = slow_times(flow.reduced, state)
        for found, true in (
            (slow.emergence, events.emergence),
            (slow.takeover, events.takeover),
            (slow.fade, events.fade),
        ):
            assert (found is None) == (true is None)
            if true is not None:
                errors.append(abs((found - state.time) / (true - state.time) - 1))
    assert np.median(errors) < 0.002 and np.percentile(errors, 90) < 0.05


def test_the_closed_form_of_the_plateau_is_right_to_a_third():
    ratios = []
    for seed in range(24):
        flow = published_flow(seed)
        state, emergence = after_collapse(flow), flow.events().emergence
        if emergence is not None:
            ratios.append(escape_time(flow.reduced, state) / (emergence - state.time))
    assert 0.67 < np.median(ratios) < 1.5
    assert len(ratios) > 20


def test_escape_time_has_no_pole_at_equal_overlaps():
    reduced, *_ = project(two_strategies(), random_draw(0))
    at, beside = (
        escape_time(reduced, State(0.0, [0.0, x, 0.0, 0.5], [0.0, 2.0, 0.0, 9.0]))
        for x in (0.5, 0.5 + 1e-5)
    )
    assert at == pytest.approx(beside, rel=1e-3)


def test_collapse_time_has_the_right_order():
    ratios = []
    for seed in range(24):
        flow = published_flow(seed)
        reduced, u, w = project(flow.model, random_draw(seed))
        ratios.append(collapse_time(reduced, State(0.0, u, w)) / after_collapse(flow).time)
    assert 0.5 < np.median(ratios) < 2


def test_the_elliptic_limit_is_exact_near_the_origin():
    """The relative error vanishes in proportion to the initial values."""
    norms, zero = {f: n**0.5 for f, n in PUBLISHED_DIMS.items()}, dict.fromkeys("abcd", 0.0)
    errors = []
    for size in (0.03, 0.01, 0.003):
        overlaps = {"a": size, "b": 1.3 * size, "c": 0.7 * size, "d": 0.9 * size}
        draw = canonical_draw(PUBLISHED_DIMS, norms, overlaps, zero)
        flow = solve(two_strategies(), draw, method="flow", max_steps=10**6, threshold=1e-3)
        predicted = elliptic_escape(flow.reduced, flow.overlap[:, 0].tolist())
        errors.append(abs(predicted / flow.events().emergence - 1))
    assert errors[2] < 1e-3
    assert errors[0] / errors[2] == pytest.approx(10, rel=0.1)
    with pytest.raises(UsageError, match="not positive"):
        elliptic_escape(flow.reduced, [1.0, 1.0, -1.0, 1.0])


def test_a_shorter_plateau_may_end_in_ciwl_alone():
    """The elliptic formula gives the plateau's length, not what comes after it."""
    dims = dict.fromkeys("abcd", 5)
    norms, zero = {f: n**0.5 for f, n in dims.items()}, dict.fromkeys("abcd", 0.0)
    overlaps = {"a": 0.003, "b": 0.0039, "c": 0.0021, "d": 0.0027}
    model = two_strategies(alpha=0.5, mu1=0.5)
    flow = solve(model, canonical_draw(dims, norms, overlaps, zero), method="flow", max_steps=10**5)
    plateau = elliptic_escape(flow.reduced, flow.overlap[:, 0].tolist())
    events = flow.events()
    assert events.emergence is None and events.takeover == pytest.approx(plateau, rel=0.05)


def test_times_at_the_edges_of_what_they_assume():
    reduced, *_ = project(two_strategies(), random_draw(0))
    assert escape_time(reduced, State(0.0, [0, 0.5, 0, 0.0], [0, 2.0, 0, 9.0])) == np.inf
    assert collapse_time(reduced, State(0.0, [0, 0.5, 0, 0.0], [0, 2.0, 1, 9.0])) == np.inf
    with pytest.raises(UsageError, match="needs .b. and .c. to differ"):
        collapse_time(reduced, State(0.0, [0, 0.5, 0.5, 1.0], [0, 2.0, 2.0, 9.0]))
    with pytest.raises(UsageError, match="b and c are zero"):
        slow_times(reduced, State(0.0, [1, 0, 0, 1.0], [0, 0, 0, 9.0]))
    with pytest.raises(UsageError, match="t_max is nan"):
        slow_times(reduced, State(0.0, [1, 1, 1, 1.0], [0, 0, 0, 9.0]), t_max=np.nan)
    with pytest.raises(UsageError, match="toleration is known"):
        toleration(reduced)


def test_times_are_refused_for_other_models():
    model = named_model("induction_head")
    flow = solve(model, random_draw(0, named_dims(model)), max_steps=5)
    with pytest.raises(UsageError, match="two_strategies"):
        after_collapse(flow)
