"""Solving: statuses, files of results, settings, events."""

import dataclasses
import json

import numpy as np
import pytest

from coopetition import (
    Mechanism,
    Model,
    Status,
    Trajectory,
    descend,
    random_draw,
    solve,
    two_strategies,
)
from coopetition.dynamics import solve as solver
from coopetition.dynamics.events import Fate, crossing_time
from coopetition.model.initial_state import canonical_draw
from coopetition.theory.critical_sets import largest_stable_step
from coopetition.tools.errors import UsageError
from coopetition.tools.files import to_json

SMALL = {"a": 3, "b": 2, "c": 4, "d": 5}


@pytest.mark.parametrize("method", ["descent", "flow"])
def test_every_ending_has_its_status(method):
    model, draw = two_strategies(), random_draw(1, SMALL)
    limited = solve(model, draw, method=method, t1=3.0)
    assert (limited.status, limited.stopped_at) == (Status.LIMIT, None)
    at_once = solve(model, draw, method=method, threshold=1e9)
    assert (at_once.status, at_once.stopped_at) == (Status.STOPPED, 0)
    still = solve(model, random_draw(0, SMALL, 0.0), method=method, t1=5.0)
    held = solve(model.with_clamped(*"abcd"), draw, method=method, t1=5.0)
    assert still.status is held.status is Status.AT_REST


def test_too_large_a_step_diverges_and_gives_no_undefined_numbers_in_json():
    trajectory = solve(two_strategies(), random_draw(0), step=1e4)
    assert trajectory.status is Status.DIVERGED and trajectory.fate() is Fate.DIVERGED
    assert json.loads(to_json(trajectory.to_dict()))["status"] == "diverged"
    assert 0 < largest_stable_step(trajectory) < 1e4


def test_the_largest_stable_step_is_stable_and_a_larger_one_is_not():
    """Near a minimum, a step below 2 / (largest eigenvalue) stays there, and one above leaves."""
    model, draw = two_strategies(), random_draw(3, SMALL)
    end = solve(model, draw, threshold=1e-10, step=0.5, t1=5e4)
    limit = largest_stable_step(end)
    u, w = (dict(zip("abcd", x[:, -1], strict=True)) for x in (end.overlap, end.orthogonal))
    near = canonical_draw(SMALL, end.problem.norms, u, w)
    start = end.final_losses()["total"]
    for factor, stays in ((0.9, True), (1.1, False)):
        on = descend(model, near, step=factor * limit, n_steps=3000)
        assert (on.losses["total"].max() <= 2 * start) == stays


def test_draws_beyond_floating_point_are_refused():
    with pytest.raises(UsageError, match="too large for floating point"):
        solve(two_strategies(), random_draw(0, initial_scale=1e200))
    at_once = solve(two_strategies(), random_draw(0, initial_scale=1e20))
    assert at_once.status is Status.DIVERGED and "status" in at_once.summary()
    assert descend(two_strategies(), random_draw(0), step=1e300).status is Status.DIVERGED


def test_a_flow_that_is_too_stiff_fails(monkeypatch):
    monkeypatch.setattr(solver, "MAX_EVALUATIONS", 1000)
    assert solve(two_strategies(alpha=1e308), random_draw(0), method="flow").status is Status.FAILED
    monkeypatch.setattr(solver, "MAX_EVALUATIONS", 200)  # which ends it between two steps
    short = solve(two_strategies(), random_draw(0), method="flow")
    assert short.status is Status.FAILED and short.stopped_at is None
    assert 0 < short.times[-1] < 16000


def test_descent_stops_at_the_first_step_below_the_threshold_and_the_flow_at_it():
    model, draw = two_strategies(), random_draw(3, SMALL)
    descent = solve(model, draw, threshold=1e-3, t1=1e5)
    total = descent.losses["total"]
    assert descent.status is Status.STOPPED and total[-1] < 1e-3 <= total[:-1].min()
    flow = solve(model, draw, method="flow", threshold=1e-3)
    assert flow.final_losses()["total"] == pytest.approx(1e-3, rel=1e-6)


def test_a_saved_trajectory_is_the_same_when_loaded(tmp_path):
    before = solve(two_strategies(alpha=0.2), random_draw(2, SMALL), t1=50.0)
    before.save(tmp_path / "t.npz")
    after = Trajectory.load(tmp_path / "t.npz")
    for field in dataclasses.fields(Trajectory)[1:]:
        a, b = getattr(before, field.name), getattr(after, field.name)
        np.testing.assert_equal(b, a, err_msg=field.name)
    for name in ("model", "dims", "norms"):
        assert getattr(after.problem, name) == getattr(before.problem, name)
    assert after.problem.start.entries == before.problem.start.entries
    assert after.summary() == before.summary()


@pytest.mark.parametrize(
    "settings",
    [
        {"step": 0.0},
        {"step": np.nan},
        {"threshold": -1.0},
        {"t1": 0.0},
        {"method": "flow", "rtol": 0.0},
        {"method": "desent"},
    ],
)
def test_solver_settings_are_checked(settings):
    with pytest.raises(UsageError):
        solve(two_strategies(), random_draw(0, SMALL), **settings)


def test_a_model_of_one_mechanism_is_solved():
    model = Model(("a", "b"), (Mechanism("icl", ("a", "b"), 0.0),))
    trajectory = solve(model, random_draw(0, {"a": 3, "b": 4}), step=0.5, threshold=1e-8)
    assert trajectory.status is Status.STOPPED
    assert trajectory.events().takeover is None
    assert "emergence" in trajectory.summary()


def test_crossings():
    t = np.arange(6.0)
    values = np.array([0.0, 1.0, np.nan, 3.0, 1.0, 4.0])
    assert crossing_time(t, values, 0.5, rising=True) == 0.5
    assert crossing_time(t, values, 2.0, rising=True) == 2.0  # linear over the gap
    assert crossing_time(t, values, 2.0, rising=False) == 3.5
    assert crossing_time(t, values, 2.0, rising=True, after=3.2) == pytest.approx(4 + 1 / 3)
    assert crossing_time(t, values, 9.0, rising=True) is None
    assert crossing_time(t, values, -1.0, rising=True) is None  # above it from the start
