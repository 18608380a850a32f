"""Collapse, plateau, takeover: closed forms and the slow system."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from coopetition import random_draw, solve, two_strategies
from coopetition.model.initial_state import canonical_draw
from coopetition.model.presets import PUBLISHED_DIMS, named_dims, named_model
from coopetition.model.reduced import Problem, State
from coopetition.theory.fates import coexistence_asymptotics
from coopetition.theory.times import (
    after_collapse,
    collapse_time,
    elliptic_escape,
    escape_time,
    slow_times,
)
from coopetition.tools.errors import UsageError

FACTORS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def errors() -> dict[str, np.ndarray]:
    """Measured and predicted times of 24 draws, counted from the collapse's end; NaN for never."""
    rows = []
    for seed in range(24):
        flow = solve(two_strategies(), random_draw(seed), method="flow", t1=1e6)
        state, events = after_collapse(flow), flow.events()
        slow = slow_times(flow.problem, state)
        collapse = collapse_time(flow.problem, flow.state(0))
        times = [events.emergence, events.takeover, events.unlearning]
        times += [slow.emergence, slow.takeover, slow.unlearning]
        rows.append([np.nan if t is None else t - state.time for t in times])
        rows[-1] += [escape_time(flow.problem, state), state.time, collapse]
    names = ["emergence", "takeover", "unlearning"]
    names += ["slow emergence", "slow takeover", "slow unlearning"]
    return dict(zip([*names, "escape", "collapse", "fall"], np.array(rows).T, strict=True))


def judge(measured: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float]:
    """Median of the relative error, that of the best constant, and the rank correlation."""
    known = np.isfinite(measured) & np.isfinite(predicted)
    measured, predicted = measured[known], predicted[known]
    error = np.median(np.abs(predicted / measured - 1))
    constants = np.abs(np.sort(measured)[:, None] / measured - 1)
    return error, np.median(constants, axis=1).min(), spearmanr(measured, predicted)[0]


@pytest.mark.parametrize("name", ["emergence", "takeover", "unlearning"])
def test_the_slow_system_carries_plateau_and_takeover(errors, name):
    """To 0.04 % in the median of 500 draws (figure `theory 5`): here, to twice that."""
    measured, predicted = errors[name], errors[f"slow {name}"]
    assert (np.isfinite(measured) == np.isfinite(predicted)).mean() > 0.95
    error, by_a_constant, rank = judge(measured, predicted)
    assert error < 0.0008 and rank > 0.999
    assert error < by_a_constant / 100


@pytest.mark.parametrize(
    ("measured", "predicted", "of_500", "by_chance", "better"),
    [
        ("emergence", "escape", (0.21, 0.95), (0.06, 0.05), 1.5),
        ("collapse", "fall", (0.28, 0.71), (0.08, 0.15), 1.0),
    ],
)
def test_closed_forms_are_as_accurate_as_the_pages_say(
    errors, measured, predicted, of_500, by_chance, better
):
    """Relative error and rank correlation: those of 500 draws, within the scatter of 24."""
    error, by_a_constant, rank = judge(errors[measured], errors[predicted])
    assert error == pytest.approx(of_500[0], abs=by_chance[0])
    assert rank == pytest.approx(of_500[1], abs=by_chance[1])
    assert error < by_a_constant / better


def test_escape_time_has_no_pole_at_equal_overlaps():
    problem = Problem(two_strategies(), random_draw(0))
    at, beside = (
        escape_time(problem, State(FACTORS, [0.0, x, 0.0, 0.5], [0.0, 2.0, 0.0, 9.0]))
        for x in (0.5, 0.5 + 1e-5)
    )
    assert at == pytest.approx(beside, rel=1e-3)


def test_the_elliptic_limit_is_exact_near_the_origin():
    """The relative error vanishes in proportion to the initial values."""
    norms, zero = {f: n**0.5 for f, n in PUBLISHED_DIMS.items()}, dict.fromkeys("abcd", 0.0)
    errors = []
    for size in (0.03, 0.01, 0.003):
        overlaps = {"a": size, "b": 1.3 * size, "c": 0.7 * size, "d": 0.9 * size}
        draw = canonical_draw(PUBLISHED_DIMS, norms, overlaps, zero)
        flow = solve(two_strategies(), draw, method="flow", t1=1e6, threshold=1e-3)
        predicted = elliptic_escape(flow.problem, flow.problem.start)
        errors.append(abs(predicted / flow.events().emergence - 1))
    assert errors[2] < 1e-3
    assert errors[0] / errors[2] == pytest.approx(10, rel=0.1)


def test_a_shorter_plateau_may_end_in_ciwl_alone():
    """The elliptic formula gives the plateau's length, not what comes after it."""
    dims = dict.fromkeys("abcd", 5)
    norms, zero = {f: n**0.5 for f, n in dims.items()}, dict.fromkeys("abcd", 0.0)
    overlaps = {"a": 0.003, "b": 0.0039, "c": 0.0021, "d": 0.0027}
    model = two_strategies(alpha=0.5, mu1=0.5)
    flow = solve(model, canonical_draw(dims, norms, overlaps, zero), method="flow", t1=1e5)
    plateau = elliptic_escape(flow.problem, flow.problem.start)
    events = flow.events()
    assert events.emergence is None and events.takeover == pytest.approx(plateau, rel=0.05)


def test_times_at_the_edges_of_what_they_assume():
    problem = Problem(two_strategies(), random_draw(0))
    assert escape_time(problem, State(FACTORS, [0, 0.5, 0, 0.0], [0, 2.0, 0, 9.0])) == np.inf
    assert collapse_time(problem, State(FACTORS, [0, 0.5, 0, 0.0], [0, 2.0, 1, 9.0])) == np.inf
    for mistake in (
        lambda: collapse_time(problem, State(FACTORS, [0, 0.5, 0.5, 1.0], [0, 2.0, 2.0, 9.0])),
        lambda: slow_times(problem, State(FACTORS, [1, 0, 0, 1.0], [0, 0, 0, 9.0])),
        lambda: slow_times(problem, State(FACTORS, [1, 1, 1, 1.0], [0, 0, 0, 9.0]), t_max=np.nan),
        lambda: elliptic_escape(problem, State(FACTORS, [1, 1, -1, 1.0], [0, 0, 0, 0])),
        lambda: coexistence_asymptotics(problem),
    ):
        with pytest.raises(UsageError):
            mistake()


def test_a_shared_factor_of_zero_has_collapsed_already():
    problem = Problem(two_strategies(), random_draw(0))
    assert collapse_time(problem, State(FACTORS, [0, 0.5, 0, 1.0], [0, 2.0, 0, 9.0])) == 0


def test_times_are_refused_for_other_models():
    model = named_model("induction_head")
    flow = solve(model, random_draw(0, named_dims(model)), t1=5.0)
    with pytest.raises(UsageError, match="two_strategies"):
        after_collapse(flow)
