"""Figures show what is kept, by their artists and numbers."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coopetition.compare.theories.toy import UNIT
from coopetition.compare.theory import TOY, theory_of
from coopetition.dynamics.ensemble import descend_ensemble
from paper_figures.coopetition import (
    figure_3,
    figure_4,
    figure_5,
    figure_11,
    figure_rates,
    figure_seeds,
    three_ways,
)
from paper_figures.coopetition.three_ways import fitted_ensemble
from paper_figures.core.figure import find_figure
from paper_figures.core.plotting import together
from paper_figures.core.runs import all_found, kept_runs, kept_tables
from tests.conftest import REFERENCE


def drawn(name):
    figure = find_figure("coopetition", name)
    return figure.drawn(all_found(figure.needs))


def rows_of(result, panel, curve):
    return np.array([(x, y) for p, c, x, y in result.numbers if (p, c) == (panel, curve)]).T


@pytest.mark.parametrize("name", ["1", "3", "4", "6", "7", "8", "9", "13", "14", "18", "rates"])
def test_lines_and_numbers_are_the_same(name):
    """Every line that is drawn through data is the curve of its label in one panel of the numbers,
    point by point, and lines on the same axes are of the same panel.
    """
    result = drawn(name)
    curves = {}
    for panel, curve, *point in result.numbers:
        curves.setdefault((panel, curve), []).append(point)
    compared, panels = 0, []
    for ax in result.drawing.axes:
        of_axes = []
        for line in filter(_of_data, ax.get_lines()):
            found = {p for (p, curve), points in curves.items()
                     if _named(line, curve) and _same(_points(line), np.array(points))}  # fmt: skip
            assert found, line.get_label()
            of_axes.append(found)
        if of_axes:
            panels.append(set.intersection(*of_axes))
        compared += len(of_axes)
    assert compared >= 3 and all(panels)
    assert len(set.union(*panels)) >= len(panels), "each panel has axes of its own"


def _of_data(line):
    """Whether a line goes through data: no guide, and no cross at a single moment."""
    told = line.get_transform().contains_branch(line.axes.transData)
    y = _points(line)[:, 1]
    return told and len(y) >= 3 and np.ptp(y) > 0


def _points(line):
    x, y = (np.asarray(each, float) for each in line.get_data())
    return np.array([x, y]).T[np.isfinite(y)]


def _named(line, curve):
    """Whether a line's label is a curve's name; one without a label, and crosses, may be any."""
    label = line.get_label()
    free = label.startswith(("_", "the paper's"))
    return free or curve in (label, label.partition(" (n = ")[0], f"{label}, the run")


def _same(drawn_points, points):
    """Whether they are the same, up to millions."""
    return len(points) == len(drawn_points) and (
        np.allclose(points, drawn_points) or np.allclose(points, drawn_points * [1e6, 1])
    )


def test_bands_span_all_seeds():
    runs = kept_runs("coopetition/main")
    result = drawn("1")
    name = "Flip (ICL over CIWL)"
    low, high, mean = (rows_of(result, "b", name + end) for end in (", lowest", ", highest", ""))
    x, rows = together(runs, "flip")
    assert np.allclose(low, [x, rows.min(0)]) and np.allclose(high, [x, rows.max(0)])
    assert np.allclose(mean[1], rows.mean(0)) and (low[1] <= high[1]).all()
    own = runs[1].curves("in_context_accuracy")
    assert np.interp(x, own.sequences, own.values["flip"]) == pytest.approx(rows[1])


def test_resumed_runs_start_where_their_parents_were():
    result = drawn("4")
    run = kept_runs("coopetition/resumed_4M")[0]
    assert run.started_at == pytest.approx(4e6 / run.rate_ratio, rel=1e-3)
    first = rows_of(result, "c", "from 4M")[0, 0]
    assert first == run.started_at + run.curves("loss").sequences[0]


def test_figure_4_is_drawn_from_its_first_run_alone():
    figure = find_figure("coopetition", "4")
    alone, *others = all_found(figure.needs)
    result = figure.drawn([alone, *([] for _ in others)])
    assert {curve for panel, curve, *_ in result.numbers if panel == "b"} == set()
    judged = {each["claim"]: each["verdict"] for each in result.provenance["claims"]}
    assert [each for each in judged.values() if each != "not tested"] == ["contradicted"]


def test_what_is_learnt_is_read_off_the_loss():
    alone = kept_runs("coopetition/icl_only")[0]
    losses = alone.curves("loss")
    at = figure_4.learnt(alone) / alone.rate_ratio
    assert (losses.values["icl"][losses.sequences < at - 2e4] > figure_4.CHANCE).all()
    never = kept_runs("coopetition/grafted_4M")[0]
    assert figure_4.learnt(never) is None and never.curves("loss").values["icl"].min() > np.log(2)


def test_help_is_told_by_the_run_alone_of_the_same_seeds(monkeypatch):
    def run(at, seeds=(5, 2), lasts=64.0):
        return SimpleNamespace(at=at, seeds=seeds, lasts=lambda millions: lasts >= millions)

    monkeypatch.setattr(figure_4, "learnt", lambda run: run.at)
    holds = figure_4.learns_sooner([run(8e6), run(None, (6, 2)), run(None, (7, 2), lasts=10.0)])
    assert holds(run(5e6)) is True
    assert holds(run(8e6)) is False, "it is learnt, but alone it is too"
    assert holds(run(None)) is False and holds(run(None, lasts=10.0)) is None
    assert holds(run(9e6, (6, 2))) is True, "alone never"
    assert holds(run(9e6, (7, 2))) is None, "alone not yet"
    assert holds(run(1e6, (5, 3))) is None, "no run alone of these seeds"


def test_times_at_two_rates_are_compared_in_steps_times_rate():
    fast, slow = kept_runs("coopetition/main"), kept_runs("coopetition/main", scale="paper")
    ratio = figure_rates.ratios(fast, slow, "fade")[fast[0].init_seed]
    assert fast[0].rate_ratio == pytest.approx(10) and slow[0].rate_ratio == pytest.approx(1)
    assert ratio == pytest.approx(10 * fast[0].timeline().fade / slow[0].timeline().fade)
    assert figure_rates.ratios(slow, slow, "fade") == {slow[0].init_seed: pytest.approx(1)}
    assert set(figure_rates.ratios(fast, slow, "fade")) == {run.init_seed for run in slow}


@given(
    arrays(float, (4, 3), elements=st.floats(-10, 10).map(lambda x: round(x, 3))),
    st.floats(0.1, 5),
)
def test_shares_of_variance_are_those_of_an_analysis_of_variance(values, scale):
    found = figure_seeds.shares(values)
    if found is None:
        assert np.ptp(values) == 0
        return
    assert sum(found) == pytest.approx(1) and min(found) > -1e-9
    assert figure_seeds.shares(scale * values + 3) == pytest.approx(found, abs=1e-6)
    rows, columns, rest = figure_seeds.shares(values.T)
    assert (columns, rows, rest) == pytest.approx(found, abs=1e-9)


def test_seeds_that_do_not_matter_are_said_to_seldom():
    """One in twenty, by the level, over four events; above 0.07 of 2,000 once in 40,000 times."""
    rng = np.random.default_rng(0)
    found = [figure_seeds.by_init(rng.standard_normal((4, 4, 3))) for _ in range(2000)]
    for said in (True, False):
        assert np.mean([each is said for each in found]) < 0.07
    init, data = np.array([[0.0], [1.0], [2.0], [5.0]]), np.array([0.0, 3.0, 6.0])
    noise = 0.3 * rng.standard_normal((4, 3))
    assert figure_seeds.by_init([noise, init + noise])
    assert figure_seeds.by_init([init + noise, data + noise]) is False
    assert figure_seeds.by_init([np.full((4, 3), np.nan)]) is None, "an event that some lack"


@pytest.mark.parametrize(
    ("accuracy", "told"), [(0.46, True), (0.481, None), (0.51, None), (0.54, False)]
)
def test_what_is_within_two_standard_errors_of_a_level_is_not_told(accuracy, told):
    """Of 1,000 sequences: 0.032 about one half."""
    assert figure_11.below(accuracy, 0.5, 1000) is told


def test_the_run_itself_does_not_stand_still():
    """What is told of figure 3c could be false: of the second layer fixed it is."""
    (first, *_), (second, *_) = (
        kept_tables(kind, "coopetition/main") for kind in ("layer_1_of_end", "layer_2_fixed")
    )
    assert figure_3.stands_still(first) and not figure_3.stands_still(second)
    fixed, own = figure_3.spreads(second)
    assert fixed == pytest.approx(own, rel=0.2), "these are the run's own curves"


def test_what_the_page_on_coopetition_says_of_losses():
    mains = kept_runs("coopetition/main")
    assert 2 * sum(figure_4.learnt(run) is None for run in mains) > len(mains)
    assert all(figure_4.learnt(run) for run in kept_runs("coopetition/icl_only"))
    by_start = dict(three_ways.kept_from("grafted", figure_4.GRAFTED_AT))
    sooner = {
        at: np.median(three_ways.as_soon(runs, lambda run: figure_4.learnt(run) or math.inf)) > 1
        for at, runs in by_start.items()
    }
    assert {at for at, helps in sooner.items() if helps} == {at for at in by_start if at > 15}


def test_how_much_sooner_icl_comes_is_told_by_the_run_alone_of_the_same_seed(monkeypatch):
    alone = [SimpleNamespace(init_seed=k, at=4.0 + k) for k in (5, 6)]
    alone.append(SimpleNamespace(init_seed=7, at=math.inf))
    monkeypatch.setattr(three_ways.Runs, "found", lambda need: alone)
    runs = [SimpleNamespace(init_seed=k, at=3.0) for k in (6, 5, 8, 7)]
    assert three_ways.as_soon(runs, lambda run: run.at) == [10 / 3, 3.0, math.inf]
    late = [SimpleNamespace(init_seed=k, at=math.inf) for k in (5, 7)]
    assert three_ways.as_soon(late, lambda run: run.at) == [0.0], "7 comes in neither"


def test_a_rise_is_told_from_noise():
    """Of losses that fall by 2 % a sample and scatter by 0.75 %, as ours."""
    rng = np.random.default_rng(0)
    falling = np.log(7.0) - 0.02 * np.arange(22)
    bumped = falling + 0.1 * ((np.arange(22) > 9) & (np.arange(22) < 13))
    assert figure_5.rises(np.exp(falling)) is False
    noisy = [0.0075 * rng.standard_normal(22) for _ in range(1000)]
    assert not any(figure_5.rises(np.exp(falling + each)) for each in noisy)
    assert np.mean([figure_5.rises(np.exp(bumped + each)) is True for each in noisy]) > 0.9


def test_the_papers_bump_is_within_the_scatter_of_what_is_read_off():
    losses = pd.read_csv(REFERENCE / "figure_5b_loss.csv").query("3e6 <= sequences <= 4.4e6")
    assert figure_5.rises(losses.ciwl.to_numpy()) is None
    assert figure_5.rises(losses.icl.to_numpy()) is False


def test_figure_15c_is_the_papers_manipulation_or_says_that_it_is_not_measured():
    figure = find_figure("coopetition", "15")
    (tables,) = all_found(figure.needs)
    result = figure.drawn([tables])
    assert not [row for row in result.numbers if row[0] == "c"], "not what the paper has in c"
    assert any("15c" in line and "not measured" in line for line in result.findings)
    together = next(claim for claim in figure.claims if claim.text.startswith("all heads"))
    assert together.judge(tables).verdict == "not tested"
    common = {"layer": "1", "measure": "superposition", "what": "one of all", "value": "0.98"}
    rows = [common | {"head": str(head), "at": str(at)} for head in range(8) for at in (0.1, 1.0)]
    measured = replace(tables[0], rows=[*tables[0].rows, *rows])
    curves = {curve for panel, curve, *_ in figure.drawn([[measured]]).numbers if panel == "c"}
    assert {f"head {head}" for head in range(8)} < curves
    assert together.judge([measured]).mean == pytest.approx(0.98)


def test_shares_of_additive_seeds():
    init, data = np.array([0.0, 1.0, 2.0, 5.0]), np.array([0.0, 0.1, 0.3])
    rows, columns, rest = figure_seeds.shares(init[:, None] + data)
    assert rest == pytest.approx(0, abs=1e-12) and rows > 0.99 and 0 < columns < 0.01
    assert figure_seeds.shares(np.full((4, 3), np.nan)) is None
    assert figure_seeds.shares(np.zeros((1, 3))) is None


def test_the_fitted_problem_flows_as_the_fit_does():
    """The toy of a fit, simulated with factors of the published lengths, is the fit's own curve."""
    theory = theory_of(TOY)
    values = {"alpha": 0.7, "mu1": 0.1, "a": 0.4, "b": 0.5, "c": 0.8, "d": 0.05,
              "d_orthogonal": 0.3, "pace": 8.0}  # fmt: skip
    fit = SimpleNamespace(
        parameters={name: SimpleNamespace(value=value) for name, value in values.items()}
    )
    ends = np.array([0.1, 0.3, 1.0])
    expected = theory.curves(np.array([values[name] for name in theory.names]), ends)
    step = 0.01
    steps = np.round(ends * values["pace"] * UNIT / step).astype(int)
    run = descend_ensemble(fitted_ensemble([fit]), steps.tolist(), step=step)
    for row, name in enumerate(("total", "icl", "ciwl")):
        assert run.losses[name][-3:, 0] == pytest.approx(expected[row], rel=2e-3, abs=1e-4)
