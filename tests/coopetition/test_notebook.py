"""What a notebook needs of the package itself."""

import subprocess
import sys

import pytest

import coopetition as co


def test_results_are_for_reading():
    trajectory = co.solve(co.two_strategies(), co.published_draw(7))
    frame = trajectory.to_frame()
    assert len(frame) == 9621 and {"time", "icl", "overlap_d", "orthogonal_a"} <= set(frame)
    assert trajectory == trajectory and hash(trajectory)
    assert len(repr(trajectory)) < 1000 and "<table>" in trajectory._repr_html_()


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
        co.Problem.of_numbers(model, dims, norms, parameters={"mu5": 5.0})


def test_numbers_of_other_kinds_are_taken_or_refused_in_one_line():
    lists = co.Draw({"a": [1, 2]}, {"a": [0, 1]})
    assert lists.initial["a"].dtype == float
    with pytest.raises(co.UsageError, match="not of real numbers"):
        co.Draw({"a": [1j, 2]}, {"a": [0, 1]})
    with pytest.raises(co.UsageError, match="choose at most"):
        co.random_draw(0, {"a": 3 * 10**9})
    few = co.descend(co.two_strategies(), co.published_draw(7), n_steps=1e1)
    assert few.n_steps == 10
    with pytest.raises(co.UsageError, match="n_steps is 1.5"):
        co.descend(co.two_strategies(), co.published_draw(7), n_steps=1.5)


@pytest.mark.parametrize("method", ["descent", "flow"])
def test_solutions_are_given_at_the_times_asked_for(method):
    ts = [0.0, 10.0, 500.0]
    settings = {"method": method, "t1": 500.0, "threshold": 0.0}
    some = co.solve(co.two_strategies(), co.published_draw(7), ts=ts, **settings)
    assert some.times.tolist() == ts
    whole = co.solve(co.two_strategies(), co.published_draw(7), **settings)
    assert some.final_losses() == pytest.approx(whole.final_losses(), rel=1e-9)


def test_events_are_those_of_any_mechanism():
    named = co.two_strategies()
    x, y = (
        co.Mechanism(name, m.factors, m.mu) for name, m in zip("xy", named.mechanisms, strict=True)
    )
    model = co.Model(named.factors, (x, y), named.costs)
    trajectory = co.solve(model, co.published_draw(7))
    expected = co.solve(named, co.published_draw(7)).events()
    assert trajectory.events() == expected and expected.fade is not None
    assert trajectory.events("y", "x").emergence == expected.takeover
    assert "x: emergence" in trajectory.summary()
    with pytest.raises(co.UsageError, match="no rival"):
        trajectory.events("x", "x")
    with pytest.raises(co.UsageError, match="the model has x, y"):
        trajectory.fate()
