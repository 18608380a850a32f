"""Solving: statuses, events, results that last, bad input."""

import dataclasses
import json
import math

import numpy as np
import pytest

from coopetition import (
    Mechanism,
    Model,
    Status,
    Trajectory,
    descend,
    random_draw,
    read_draw,
    solve,
    two_strategies,
)
from coopetition.dynamics import solve as flow
from coopetition.dynamics.events import Fate, crossing_time
from coopetition.model.initial_state import InitialState, canonical_draw
from coopetition.theory.critical_sets import largest_stable_step
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import to_json, write_npz

SMALL = {"a": 3, "b": 2, "c": 4, "d": 5}


@pytest.mark.parametrize("method", ["descent", "flow"])
def test_every_ending_has_its_status(method):
    model, draw = two_strategies(), random_draw(1, SMALL)
    limited = solve(model, draw, method=method, t1=3.0)
    assert (limited.status, limited.stopped_at) == (Status.LIMIT, None)
    at_once = solve(model, draw, method=method, threshold=1e9)
    assert (at_once.status, at_once.stopped_at) == (Status.STOPPED, 0)


def test_too_large_a_step_is_reported_and_has_no_undefined_numbers_in_json():
    trajectory = solve(two_strategies(), random_draw(0), step=1e4)
    assert trajectory.status is Status.DIVERGED
    plain = trajectory.to_dict()
    assert json.loads(to_json(plain))["status"] == "diverged"
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


def test_a_solution_that_diverged_has_that_fate():
    assert solve(two_strategies(), random_draw(0), step=50.0).fate() is Fate.DIVERGED


@pytest.mark.parametrize("method", ["descent", "flow"])
def test_a_start_at_rest_is_recognised(method):
    still = solve(two_strategies(), random_draw(0, SMALL, 0.0), method=method, t1=5.0)
    clamped = two_strategies().with_clamped(*"abcd")
    held = solve(clamped, random_draw(0, SMALL), method=method, t1=5.0)
    assert still.status is held.status is Status.AT_REST


def test_draws_beyond_floating_point_are_refused():
    with pytest.raises(UsageError, match="too large for floating point"):
        solve(two_strategies(), random_draw(0, initial_scale=1e200))
    at_once = solve(two_strategies(), random_draw(0, initial_scale=1e20))
    assert at_once.status is Status.DIVERGED and "status" in at_once.summary()
    assert descend(two_strategies(), random_draw(0), step=1e300).status is Status.DIVERGED


def test_a_flow_that_is_too_stiff_gives_up(monkeypatch):
    monkeypatch.setattr(flow, "MAX_EVALUATIONS", 1000)
    assert solve(two_strategies(alpha=1e308), random_draw(0), method="flow").status is Status.FAILED
    # the budget may end anywhere: it is no event that the integrator looks for in time
    monkeypatch.setattr(flow, "MAX_EVALUATIONS", 200)
    short = solve(two_strategies(), random_draw(0), method="flow")
    assert short.status is Status.FAILED and short.stopped_at is None
    assert 0 < short.times[-1] < 16000


def test_stops_at_the_first_step_below_the_threshold():
    trajectory = solve(two_strategies(), random_draw(3, SMALL), threshold=1e-3, t1=1e5)
    total = trajectory.losses["total"]
    assert trajectory.status is Status.STOPPED
    assert total[-1] < 1e-3 <= total[:-1].min()


def test_flow_stops_at_the_threshold_exactly():
    trajectory = solve(two_strategies(), random_draw(3, SMALL), method="flow", threshold=1e-3)
    assert trajectory.final_losses()["total"] == pytest.approx(1e-3, rel=1e-6)


def test_saved_trajectory_is_the_same_when_loaded(tmp_path):
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


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("not an archive")
    write_npz(tmp_path / "other.npz", x=np.zeros(3))
    for name in ("text.npz", "other.npz"):
        with pytest.raises(UserError, match="not a saved trajectory"):
            Trajectory.load(tmp_path / name)
    with pytest.raises(UsageError, match=r"not a readable \.npz"):
        read_draw(tmp_path / "text.npz", 0)
    with pytest.raises(UsageError, match="holds none"):
        read_draw(tmp_path / "other.npz", 0)


def test_draws_are_read_as_they_were_written(tmp_path):
    draw = random_draw(5, SMALL)
    arrays = {f"seed4/initial/{k}": v for k, v in draw.initial.items()}
    arrays |= {f"seed4/target/{k}": v for k, v in draw.target.items()}
    write_npz(tmp_path / "draws.npz", **arrays)
    again = read_draw(tmp_path / "draws.npz", 4)
    np.testing.assert_equal(again.target, draw.target)
    np.testing.assert_equal(again.initial, draw.initial)
    with pytest.raises(UsageError, match="no draw of seed 3 in .*seed4"):
        read_draw(tmp_path / "draws.npz", 3)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["alpha", "mu1", "mu2"])
def test_model_parameters_must_be_finite_and_not_negative(name, value):
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        two_strategies(**{name: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 0.0}, "step is 0.0"),
        ({"step": math.nan}, "step is nan"),
        ({"threshold": -1.0}, "threshold is -1.0"),
        ({"t1": 0.0}, "t1 is 0.0"),
        ({"method": "flow", "rtol": 0.0}, "rtol is 0.0"),
        ({"method": "desent"}, "method 'desent' is unknown"),
    ],
)
def test_solver_settings_are_checked(settings, message):
    with pytest.raises(UsageError, match=message):
        solve(two_strategies(), random_draw(0, SMALL), **settings)


def test_draws_are_checked():
    good = random_draw(0, SMALL)
    with pytest.raises(UsageError, match="dimension of factor b is 0"):
        random_draw(0, SMALL | {"b": 0})
    with pytest.raises(UsageError, match="factor a .* not finite"):
        InitialState(good.initial | {"a": np.full(3, np.nan)}, good.target)
    with pytest.raises(UsageError, match=r"factor a .*shape \(2,\)"):
        InitialState(good.initial | {"a": np.ones(2)}, good.target)
    with pytest.raises(UsageError, match="target of factor c is zero"):
        InitialState(good.initial, good.target | {"c": np.zeros(4)})
    with pytest.raises(UsageError, match="disagree on the factors"):
        three = {name: good.target[name] for name in "abc"}
        solve(two_strategies(), InitialState(three, three))


def test_a_model_of_one_mechanism_is_solved():
    model = Model(("a", "b"), (Mechanism("icl", ("a", "b"), 0.0),), ())
    draw = random_draw(0, {"a": 3, "b": 4})
    trajectory = solve(model, draw, step=0.5, threshold=1e-8)
    assert trajectory.status is Status.STOPPED
    assert trajectory.events().takeover is None
    assert "emergence" in trajectory.summary()


@pytest.mark.parametrize("factors", [(), ("a", "a"), ("a", "z")])
def test_mechanisms_are_made_of_known_different_factors(factors):
    with pytest.raises(UsageError, match="choose different ones"):
        Model(("a", "b"), (Mechanism("icl", factors, 0.0),), ())


def test_crossings():
    t = np.arange(6.0)
    values = np.array([0.0, 1.0, np.nan, 3.0, 1.0, 4.0])
    assert crossing_time(t, values, 0.5, rising=True) == 0.5
    assert crossing_time(t, values, 2.0, rising=True) == 2.0  # linear over the gap
    assert crossing_time(t, values, 2.0, rising=False) == 3.5
    assert crossing_time(t, values, 2.0, rising=True, after=3.2) == pytest.approx(4 + 1 / 3)
    assert crossing_time(t, values, 9.0, rising=True) is None
    assert crossing_time(t, values, -1.0, rising=True) is None  # above it all along
