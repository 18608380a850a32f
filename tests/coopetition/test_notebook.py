"""What a notebook needs of the package itself."""

import math
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

import coopetition as co
from coopetition import Fate, check_laws


def test_results_are_for_reading():
    trajectory = co.solve(co.two_strategies(), co.published_draw(7))
    frame = trajectory.to_frame()
    assert len(frame) == 9621 and {"time", "icl", "overlap_d", "orthogonal_a"} <= set(frame)
    assert trajectory == trajectory and hash(trajectory)
    assert len(repr(trajectory)) < 1000 and "<table>" in trajectory._repr_html_()
    assert "check_laws" in trajectory._repr_html_()
    told = trajectory.summary()
    for event in ("emergence", "peak", "crossing", "unlearning", "takeover"):
        assert f"{event}: " in told, f"{event} is defined where it is printed"
    sets = co.critical_sets(trajectory.problem)
    assert len(repr(sets)) < 100 * len(sets) and sets[0].describe() in repr(sets)


def test_every_name_is_there_and_no_other():
    assert all(getattr(co, name) is not None for name in co.__all__)
    assert set(co.__all__) <= set(dir(co))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = co.nonsense


def test_importing_it_loads_nothing_heavy():
    code = (
        "import sys, coopetition as co; co.Trajectory; co.Problem\n"
        "assert callable(co.solve)\n"
        "heavy = {'torch', 'sympy', 'scipy', 'numba', 'matplotlib', 'pandas'}\n"
        "assert not heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_problems_are_read_by_name():
    problem = co.Problem(co.two_strategies(), co.published_draw(7))
    assert problem.start["d"].length == pytest.approx(13, rel=0.2)
    with pytest.raises(co.UsageError, match="no factor 'x'"):
        _ = problem.start["x"]


def test_parameters_have_one_name():
    model = co.two_strategies().replace(mu1=0.2, alpha=0.3)
    assert (model.mechanism("icl").mu, model.costs[0].alpha) == (0.2, 0.3)
    with pytest.raises(co.UsageError, match="no parameter 'mu5'"):
        model.replace(mu5=1.0)
    with pytest.raises(co.UsageError, match="alpha is '0.1'"):
        model.replace(alpha="0.1")
    many = co.three_strategies().replace(alpha=0.5, icl_iwl=0.7)
    assert [cost.alpha for cost in many.costs] == [0.5, 0.7, 0.5]
    dims = dict.fromkeys("abcd", 3)
    norms = dict.fromkeys("abcd", 1.0)
    with pytest.raises(co.UsageError, match="no parameter 'mu5'"):
        co.Problem.from_numbers(model, dims, norms, parameters={"mu5": 5.0})


def test_numbers_of_other_kinds_are_taken_or_refused_in_one_line():
    lists = co.InitialState({"a": [1, 2]}, {"a": [0, 1]})
    assert lists.initial["a"].dtype == float
    with pytest.raises(co.UsageError, match="not of real numbers"):
        co.InitialState({"a": [1j, 2]}, {"a": [0, 1]})
    with pytest.raises(co.UsageError, match="choose at most"):
        co.random_draw(0, {"a": 3 * 10**9})
    few = co.descend(co.two_strategies(), co.published_draw(7), n_steps=1e1)
    assert few.n_steps == 10
    with pytest.raises(co.UsageError, match="n_steps is 1.5"):
        co.descend(co.two_strategies(), co.published_draw(7), n_steps=1.5)


@pytest.mark.parametrize(
    ("method", "emergence", "drift"), [("descent", 4667, 1e-12), ("flow", 4657, 1e-7)]
)
def test_solutions_have_the_times_asked_for_and_lose_nothing_by_it(method, emergence, drift):
    """Coarse times change neither events nor fate nor laws: those are of the solver's own steps."""
    ts = [0.0, 3000.0, 9600.0]
    whole, some = (
        co.solve(co.two_strategies(), co.published_draw(7), method=method, ts=times)
        for times in (None, ts)
    )
    k = some.samples_at(ts)
    assert some.times[k].tolist() == ts and len(some.to_frame().iloc[k]) == 3
    assert np.isin(whole.times, some.times).all()
    assert some.fate() is whole.fate() is Fate.ICL_TRANSIENT
    pairs = zip(asdict(some.events()).values(), asdict(whole.events()).values(), strict=True)
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=1e-3)
    assert some.events().emergence == pytest.approx(emergence, abs=1)
    assert co.after_collapse(some).time == pytest.approx(co.after_collapse(whole).time, rel=0.05)
    assert max(check.drift for check in check_laws(some)) < drift
    with pytest.raises(co.UsageError, match="no sample at time 1e"):
        some.samples_at([3000.0, 1e6])


def test_a_flow_has_no_samples_between_its_own():
    flow = co.solve(co.two_strategies(), co.published_draw(7), method="flow", t1=10.0)
    assert flow.samples_at(flow.times).tolist() == list(range(len(flow.times)))
    with pytest.raises(co.UsageError, match="give those of a flow as `ts`"):
        flow.samples_at([5.000001])
    with pytest.raises(co.UsageError, match="times is not of real numbers"):
        flow.samples_at("abc")


@pytest.mark.parametrize("method", ["descent", "flow"])
@pytest.mark.parametrize("ts", ["abc", [[1.0], [2.0, 3.0]], [-3, 5], [math.nan], [5, 4], [17e3]])
def test_times_are_checked(method, ts):
    with pytest.raises(co.UsageError, match=r"^ts "):
        co.solve(co.two_strategies(), co.published_draw(7), method=method, ts=ts)


def test_descent_takes_the_whole_steps_that_fit_into_a_time():
    def n_steps(t1, step):
        return co.solve(co.two_strategies(), co.published_draw(7), t1=t1, step=step).n_steps

    assert [n_steps(7, 2), n_steps(2.5, 1), n_steps(0.3, 0.1), n_steps(3, 1)] == [3, 2, 3, 3]
    with pytest.raises(co.UsageError, match=r"t1 is 0\.3, and one step is 1"):
        n_steps(0.3, 1)


def test_numbers_of_numpy_are_kept_as_floats(tmp_path):
    model = co.two_strategies().replace(alpha=np.int64(1)).with_rates(a=np.float32(0.5))
    settings = {"t1": np.int64(3), "step": np.float32(1), "threshold": np.int64(0)}
    for method in ("descent", "flow"):
        trajectory = co.solve(model, co.published_draw(7), method=method, **settings)
        trajectory.save(tmp_path / "t.npz")
        assert co.Trajectory.load(tmp_path / "t.npz").model == model
    assert {type(cost.alpha) for cost in model.costs} == {type(model.rates[0])} == {float}
    for wrong in (True, np.True_):
        with pytest.raises(co.UsageError, match=r"alpha is (np\.)?True"):
            model.replace(alpha=wrong)


def test_objects_that_hold_arrays_are_compared_and_shown_in_short():
    draw, again = co.published_draw(7), co.published_draw(7)
    assert draw == draw and draw != again and len({draw, again}) == 2
    trajectory = co.descend(co.two_strategies(), draw, n_steps=3)
    shown = [draw, trajectory.states, trajectory.state(0), trajectory.problem]
    assert max(len(repr(each)) for each in shown) < 250
    assert "published, seed 7" in repr(draw) and "arrays of 4" in repr(trajectory.states)
    assert "a=(" in repr(trajectory.state(0)) and "ciwl = d b c" in repr(trajectory.problem)
    check = check_laws(trajectory)[0]
    assert check == check and check != check_laws(trajectory)[0] and len(repr(check)) < 250
    with pytest.raises(co.UsageError, match=r"factors \['z'\]"):
        co.InitialState(draw.initial | {"z": [1.0]}, draw.target)


def test_events_are_those_of_any_mechanism():
    named = co.two_strategies()
    x, y = (
        co.Mechanism(name, m.factors, m.mu) for name, m in zip("xy", named.mechanisms, strict=True)
    )
    model = co.Model(named.factors, (x, y), named.costs)
    trajectory = co.solve(model, co.published_draw(7))
    expected = co.solve(named, co.published_draw(7)).events()
    assert trajectory.events() == expected and expected.unlearning is not None
    assert trajectory.events("y", "x").emergence == expected.takeover
    assert "x: emergence" in trajectory.summary()
    with pytest.raises(co.UsageError, match="no rival"):
        trajectory.events("x", "x")
    with pytest.raises(co.UsageError, match="the model has x, y"):
        trajectory.fate()


def test_a_value_of_another_kind_is_refused_in_one_line():
    model, draw = co.two_strategies(), co.published_draw(7)
    slips: list[tuple] = [
        (co.solve, (draw, model), "expected a Model, got <InitialState"),
        (co.solve, ("two_strategies", draw), "expected a Model, got 'two_strategies' of type str"),
        (co.Problem, (model, None), "expected an InitialState, got None"),
        (co.fit, ("runs/smoke",), "expected Curves .* got 'runs/smoke'"),
        (co.critical_sets, (model,), "expected a Problem, got"),
        (co.check_laws, (model,), "expected a Trajectory, got"),
        (co.random_draw, (7, 20), "dims is 20; .*dims="),
        (co.solve, (co.three_strategies(), draw), r"\['e'\].*`dims`"),
        (co.norm_laws, (draw,), "expected a Model, got <InitialState"),
        (co.Model, (("a",), co.Mechanism("icl", ("a",), 0.1)), "mechanisms is Mechanism"),
        (co.Model, ("a", (co.Mechanism("icl", ("a",), 0.1),)), "factors is 'a'"),
        (co.Model, (("a",), ("icl",)), "mechanisms is .*icl"),
    ]
    for function, given, message in slips:
        with pytest.raises(co.UsageError, match=message) as caught:
            function(*given)
        assert "\n" not in str(caught.value)
    with pytest.raises(co.UsageError, match="expected an Axis, got 'alpha'"):
        co.phase_diagram(model, "alpha", "mu1", n_draws=1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", [co.Trajectory, co.PhaseDiagram, co.Fit])
def test_what_was_not_saved_is_not_loaded(tmp_path, kind):
    with pytest.raises(co.UserError, match=r"nope\.npz does not exist; give a saved"):
        kind.load(tmp_path / "nope.npz")
    (tmp_path / "other.npz").write_text("other")
    with pytest.raises(co.UserError, match="is not a saved") as caught:
        kind.load(tmp_path / "other.npz")
    assert "allow_pickle" not in str(caught.value)


def test_a_model_of_lists_is_the_model_of_tuples():
    listed, named = (
        co.Model(
            kind(["a", "d"]),
            kind([co.Mechanism("icl", kind(["a"]), 0.1), co.Mechanism("ciwl", kind(["d"]), 0.0)]),
            kind([co.Cost("competition", kind(["a", "d"]), 0.1)]),
            rates=kind([1.0, 2.0]),
        )
        for kind in (list, tuple)
    )
    assert listed == named and hash(listed) == hash(named)


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
