"""Use in a notebook: values of any kind are taken or refused in one line, and results are short."""

import math
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd
import pytest

import coopetition as co
from coopetition import Fate, check_laws
from coopetition.studies.phases import predicted_diagram
from coopetition.tools.console import SWITCH
from coopetition.tools.files import write_npz
from tests.coopetition.conftest import TRUTH


@pytest.fixture
def model():
    return co.two_strategies()


@pytest.fixture
def draw():
    return co.published_draw(7)


def test_results_are_for_reading(model, draw):
    trajectory = co.solve(model, draw)
    frame = trajectory.to_frame()
    assert len(frame) == 9621 and {"time", "icl", "overlap_d", "orthogonal_a"} <= set(frame)
    assert len(repr(trajectory)) < 1000 and "emergence" in trajectory._repr_html_()
    summary = trajectory.summary()
    for event in ("emergence", "peak", "crossing", "unlearning", "takeover"):
        assert f"{event}: " in summary, f"{event} is defined where it is printed"
    for check in check_laws(trajectory):
        assert check.law.name in summary and f"{check.drift:.1e}" in summary
    sets = co.critical_sets(trajectory.problem)
    assert len(repr(sets)) < 100 * len(sets) and sets[0].describe() in repr(sets)


def test_objects_with_arrays_are_compared_by_identity_and_shown_in_short(model, draw):
    again = co.published_draw(7)
    assert draw == draw and draw != again and len({draw, again}) == 2
    trajectory = co.descend(model, draw, n_steps=3)
    assert trajectory == trajectory and hash(trajectory)
    shown = [draw, trajectory.states, trajectory.state(0), trajectory.problem]
    assert max(len(repr(each)) for each in shown) < 250
    assert "published, seed 7" in repr(draw) and "arrays of 4" in repr(trajectory.states)
    assert "a=(" in repr(trajectory.state(0)) and "ciwl = d b c" in repr(trajectory.problem)
    check = check_laws(trajectory)[0]
    assert check == check and check != check_laws(trajectory)[0] and len(repr(check)) < 250


def test_problems_and_parameters_are_read_by_name(model, draw):
    problem = co.Problem(model, draw)
    assert problem.start["d"].length == pytest.approx(13, rel=0.2)
    with pytest.raises(co.UsageError, match="no factor 'x'"):
        _ = problem.start["x"]
    changed = model.replace(mu1=0.2, alpha=0.3)
    assert (changed.mechanism("icl").mu, changed.costs[0].alpha) == (0.2, 0.3)
    many = co.three_strategies().replace(alpha=0.5, icl_iwl=0.7)
    assert [cost.alpha for cost in many.costs] == [0.5, 0.7, 0.5]
    with pytest.raises(co.UsageError, match="no parameter 'mu5'"):
        model.replace(mu5=1.0)
    dims, norms = dict.fromkeys("abcd", 3), dict.fromkeys("abcd", 1.0)
    with pytest.raises(co.UsageError, match="no parameter 'mu5'"):
        co.Problem.from_numbers(model, dims, norms, parameters={"mu5": 5.0})


@pytest.mark.parametrize(
    ("method", "emergence", "drift"), [("descent", 4667, 1e-12), ("flow", 4657, 1e-7)]
)
def test_requested_times_change_neither_events_nor_fate_nor_laws(
    model, draw, method, emergence, drift
):
    ts = [0.0, 3000.0, 9600.0]
    whole, some = (co.solve(model, draw, method=method, ts=times) for times in (None, ts))
    k = some.samples_at(ts)
    assert some.times[k].tolist() == ts and len(some.to_frame().iloc[k]) == 3
    assert np.isin(whole.times, some.times).all()
    assert some.fate() is whole.fate() is Fate.ICL_TRANSIENT
    pairs = zip(asdict(some.events()).values(), asdict(whole.events()).values(), strict=True)
    assert all(ours == pytest.approx(theirs, rel=1e-3) for ours, theirs in pairs)
    assert some.events().emergence == pytest.approx(emergence, abs=1)
    assert co.after_collapse(some).time == pytest.approx(co.after_collapse(whole).time, rel=0.05)
    assert max(check.drift for check in check_laws(some)) < drift
    with pytest.raises(co.UsageError, match="no sample at time 1e"):
        some.samples_at([3000.0, 1e6])


def test_a_flow_has_no_samples_between_its_own(model, draw):
    flow = co.solve(model, draw, method="flow", t1=10.0)
    assert flow.samples_at(flow.times).tolist() == list(range(len(flow.times)))
    for times in ([5.000001], "abc"):
        with pytest.raises(co.UsageError):
            flow.samples_at(times)


@pytest.mark.parametrize("method", ["descent", "flow"])
@pytest.mark.parametrize("ts", ["abc", [[1.0], [2.0, 3.0]], [-3, 5], [math.nan], [5, 4], [17e3]])
def test_times_are_checked(model, draw, method, ts):
    with pytest.raises(co.UsageError, match=r"^ts "):
        co.solve(model, draw, method=method, ts=ts)


def test_descent_takes_the_whole_steps_that_fit_into_a_time(model, draw):
    def n_steps(t1, step):
        return co.solve(model, draw, t1=t1, step=step).n_steps

    assert [n_steps(7, 2), n_steps(2.5, 1), n_steps(0.3, 0.1), n_steps(3, 1)] == [3, 2, 3, 3]
    with pytest.raises(co.UsageError, match=r"t1 is 0\.3"):
        n_steps(0.3, 1)


def test_numbers_of_other_kinds_are_converted_or_refused(model, draw, tmp_path):
    lists = co.InitialState({"a": [1, 2]}, {"a": [0, 1]})
    assert lists.initial["a"].dtype == float
    changed = model.replace(alpha=np.int64(1)).with_rates(a=np.float32(0.5))
    assert {type(cost.alpha) for cost in changed.costs} == {type(changed.rates[0])} == {float}
    settings = {"t1": np.int64(3), "step": np.float32(1), "threshold": np.int64(0)}
    for method in ("descent", "flow"):
        co.solve(changed, draw, method=method, **settings).save(tmp_path / "t.npz")
        assert co.Trajectory.load(tmp_path / "t.npz").model == changed
    assert co.descend(model, draw, n_steps=1e1).n_steps == 10
    for refused, message in (
        (lambda: co.InitialState({"a": [1j, 2]}, {"a": [0, 1]}), "real numbers"),
        (lambda: co.InitialState(draw.initial | {"z": [1.0]}, draw.target), "'z'"),
        (lambda: co.random_draw(0, {"a": 3 * 10**9}), "choose at most"),
        (lambda: co.descend(model, draw, n_steps=1.5), r"n_steps is 1\.5"),
        (lambda: model.replace(alpha="0.1"), "alpha is '0.1'"),
        (lambda: model.replace(alpha=True), "alpha is True"),
        (lambda: model.replace(alpha=np.True_), "alpha is .*True"),
    ):
        with pytest.raises(co.UsageError, match=message):
            refused()


def test_events_are_those_of_any_mechanism(model, draw):
    x, y = (
        co.Mechanism(name, m.factors, m.mu) for name, m in zip("xy", model.mechanisms, strict=True)
    )
    trajectory = co.solve(co.Model(model.factors, (x, y), model.costs), draw)
    expected = co.solve(model, draw).events()
    assert trajectory.events() == expected and expected.unlearning is not None
    assert trajectory.events("y", "x").emergence == expected.takeover
    assert "x: emergence" in trajectory.summary()
    for ask in (lambda: trajectory.events("x", "x"), trajectory.fate):
        with pytest.raises(co.UsageError):
            ask()


def test_a_value_of_another_kind_is_refused_in_one_line(
    model, draw, race, race_fit, race_posterior
):
    icl = co.Mechanism("icl", ("a",), 0.1)
    mistakes: list[tuple] = [
        (co.solve, (draw, model), "expected a Model, got <"),
        (co.solve, ("two_strategies", draw), "expected a Model, got 'two_strategies' of type str"),
        (co.Problem, (model, None), "got None"),
        (co.fit, ("runs/smoke",), "expected Curves .* got 'runs/smoke'"),
        (co.fit, ({"icl": np.arange(60.0)},), "expected Curves .* of type dict"),
        (co.fit, (race, ["toy"]), "theory .'toy'. is unknown"),
        (partial(co.fit, fixed=["loss"]), (race,), "expected fixed values by name"),
        (partial(co.compare, fixed=["loss"]), (race,), "expected fixed values by name"),
        (co.read_curves, (None,), "expected the path .* got None"),
        (co.read_curves, ("c.csv", None), "expected the name of a metric"),
        (race.between, ("a",), "first is 'a'"),
        (race.between, (0, math.nan), "last is nan"),
        (partial(co.Curves, std={"b": 1.0}), ([0, 1], {"a": [1, 2]}), "std is given for b"),
        (co.Curves, ([0, 1], pd.DataFrame({"icl": [0.5, 0.25]})), "of type DataFrame"),
        (race.plot, ("x.png",), "axes .* got 'x.png'"),
        (race_fit.plot, ("x.png",), "axes .* got 'x.png'"),
        (co.simulate, ("logistic_race", None), "got None"),
        (co.simulate, ("logistic_race", TRUTH | {"icl_at": "3e5"}), "icl_at is '3e5'"),
        (partial(co.simulate, correlation="a"), ("logistic_race", TRUTH), "correlation is 'a'"),
        (partial(co.simulate, seed="a"), ("logistic_race", TRUTH), "seed is 'a'"),
        (co.forecast, (race_posterior, "2e6"), "horizon.* got '2e6'"),
        (partial(co.forecast, measured=3), (race_posterior, 2e6), "expected measured Curves"),
        (partial(co.forecast, future=["a"]), (race_posterior, 2e6), "future"),
        (co.profile, (race, "loss"), "expected a Fit, got"),
        (co.forecast, (race_fit, 1e6), "expected a Posterior"),
        (co.critical_sets, (model,), "expected a Problem, got"),
        (co.check_laws, (model,), "expected a Trajectory, got"),
        (partial(co.phase_diagram, n_draws=1), (model, "alpha", "mu1"), "expected an Axis"),
        (co.random_draw, (7, 20), "dims is 20; .*dims="),
        (co.solve, (co.three_strategies(), draw), r"\['e'\].*`dims`"),
        (co.norm_laws, (draw,), "expected a Model, got <"),
        (co.Model, (("a",), icl), "mechanisms is Mechanism"),
        (co.Model, ("a", (icl,)), "factors is 'a'"),
        (co.Model, (("a",), ("icl",)), "mechanisms is .*icl"),
    ]
    for function, arguments, message in mistakes:
        with pytest.raises(co.UsageError, match=message) as caught:
            function(*arguments)
        assert "\n" not in str(caught.value) and "0.25" not in str(caught.value)


@pytest.mark.parametrize("kind", [co.Trajectory, co.PhaseDiagram, co.Fit])
def test_other_files_are_not_loaded(tmp_path, kind):
    with pytest.raises(co.UsageError, match=r"nope\.npz does not exist"):
        kind.load(tmp_path / "nope.npz")
    (tmp_path / "text.npz").write_text("other")
    write_npz(tmp_path / "archive.npz", x=np.zeros(3))
    for name in ("text.npz", "archive.npz"):
        with pytest.raises(co.UsageError, match=f"{name} is not a saved") as caught:
            kind.load(tmp_path / name)
        assert "allow_pickle" not in str(caught.value)


def test_a_random_draw_is_of_any_model_and_scale():
    draw = co.random_draw(3, co.three_strategies())
    assert draw.dims == {"a": 20, "b": 20, "c": 20, "d": 160, "e": 160}
    scaled = co.random_draw(3, co.three_strategies(), 2.0, scales={"d": 0.5, "e": 0.1})
    for factor, scale in {"a": 2.0, "d": 1.0, "e": 0.2}.items():
        np.testing.assert_allclose(scaled.initial[factor], scale * draw.initial[factor])
        np.testing.assert_array_equal(scaled.target[factor], draw.target[factor])
    own = co.Model(("x", "y"), (co.Mechanism("one", ("x", "y"), 0.0),))
    with pytest.raises(co.UsageError, match=r"'x', 'y'.*dims="):
        co.random_draw(3, own)
    assert co.solve(own, co.random_draw(3, {"x": 3, "y": 4})).events().emergence is not None


def test_without_progress_nothing_is_printed(model, race, monkeypatch, capfd):
    monkeypatch.setenv(SWITCH, "1")  # is restored after the test
    monkeypatch.setattr("coopetition.tools.console.LINE_EVERY_S", 0.0)
    x, y = co.Axis("alpha", [0.1, 0.2]), co.Axis("mu1", [0.1])

    def work(**switch):
        fitted = co.fit(race, "logistic_race", n_screened=16, n_starts=2, n_jobs=2, **switch)
        co.profile(fitted, "icl_at", n=1, **switch)
        co.compare(race, ["logistic_race", "spline"], n_screened=16, n_starts=1, **switch)
        co.phase_diagram(model, x, y, n_draws=1, n_steps=20, **switch)
        co.sample_posterior(fitted, n=20, max_calls=1, **switch)

    def work_without_a_switch():
        predicted_diagram(model, x, y, n_steps=20)

    work(progress=False)
    assert capfd.readouterr() == ("", "")
    for each in (work, work_without_a_switch):
        co.show_progress(True)
        each()
        assert capfd.readouterr().err
        co.show_progress(False)
        each()
        assert capfd.readouterr() == ("", "")
