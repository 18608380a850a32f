"""Figures show what is kept, by their artists and numbers."""

import math
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coopetition.dynamics.batch import descend_batch
from coopetition.fitting.registry import TOY, theory_of
from coopetition.fitting.theories.toy import UNIT
from paper_figures.coopetition import (
    events,
    figure_3,
    figure_4,
    figure_5,
    figure_11,
    figure_rates,
    figure_seeds,
    fits,
    page_coopetition,
)
from paper_figures.core.figure import find_figure
from paper_figures.core.kept_data import DATA
from paper_figures.core.plotting import common_curves
from paper_figures.core.runs import by_number, find_needs, kept_runs, kept_tables

MAIN = "coopetition/main"
QUICK = {"n_screened": 16, "n_starts": 1, "max_iterations": 1}


def needs_of(slot):
    return find_needs(find_figure("coopetition", slot).needs)


def render(slot, found=None):
    return find_figure("coopetition", slot).render(needs_of(slot) if found is None else found)


def rows_of(result, panel, curve):
    return np.array([(x, y) for p, c, x, y in result.numbers if (p, c) == (panel, curve)]).T


@pytest.mark.parametrize("slot", ["1", "3", "4", "6", "7", "8", "9", "13", "14", "18", "rates"])
def test_lines_and_numbers_are_the_same(slot):
    """Every line through data is the curve of its label in one panel of the numbers, point by
    point; lines on the same axes are of the same panel, and each panel has a letter of its own.
    """
    result = render(slot)
    curves = defaultdict(list)
    for panel, curve, *point in result.numbers:
        curves[panel, curve].append(point)
    n_compared, panels = 0, []
    for ax in result.drawing.axes:
        of_axes = []
        for line in filter(_is_data, ax.get_lines()):
            found = {
                panel
                for (panel, curve), rows in curves.items()
                if _is_named(line, curve) and _are_same(_points(line), np.array(rows))
            }
            assert found, line.get_label()
            of_axes.append(found)
        if of_axes:
            panels.append(set.intersection(*of_axes))
        n_compared += len(of_axes)
    assert n_compared >= 3 and all(panels)
    assert len(set.union(*panels)) >= len(panels), "each panel has axes of its own"
    titles = (ax.get_title(loc="left") for ax in result.drawing.axes)
    letters = [title[0] for title in titles if title[1:3] == "  " and slot != "3"]
    assert len(letters) == len({*letters})


def _is_data(line):
    """Return whether a line goes through data: no guide, and no cross at a single moment."""
    in_data = line.get_transform().contains_branch(line.axes.transData)
    y = _points(line)[:, 1]
    return in_data and len(y) >= 3 and np.ptp(y) > 0


def _points(line):
    x, y = (np.asarray(each, float) for each in line.get_data())
    return np.array([x, y]).T[np.isfinite(y)]


def _is_named(line, curve):
    """Return whether a line's label is a curve's name; one without, and crosses, may be any."""
    label = line.get_label()
    is_free = label.startswith(("_", "the paper"))
    return is_free or curve in (label, label.partition(" (n = ")[0], f"{label}, the run")


def _are_same(drawn, points):
    """Return whether they are the same, up to millions."""
    return len(points) == len(drawn) and (
        np.allclose(points, drawn) or np.allclose(points, drawn * [1e6, 1])
    )


def test_figure_1_spans_all_seeds():
    runs, result = kept_runs(MAIN), render("1")
    name = "Flip (ICL over CIWL)"
    x, rows = common_curves(runs, "flip")
    own = runs[1].curves()
    assert np.interp(x, own.sequences, own.values["flip"]) == pytest.approx(rows[1])
    ends = {", lowest": rows.min(0), ", highest": rows.max(0), "": rows.mean(0)}
    for end, expected in ends.items():
        assert np.allclose(rows_of(result, "b", name + end), [x, expected])
    labels = {line.get_label() for line in result.drawing.axes[-1].get_lines()}
    names = {"train", "ICL", "CIWL", name}
    assert {f"{each} (n = {len(runs)})" for each in names} <= labels
    sequences = [row for row in result.numbers if row[0] == "a"]
    assert len(sequences) == 4 * (3 + 2 + 1), "drawings, labels and the answer of four evaluators"
    assert len(result.findings) == len(runs)


def test_figure_4_adds_the_sequences_of_parents_and_marks_the_papers():
    result = render("4")
    run = kept_runs("coopetition/resumed_4M")[0]
    assert run.started_at == pytest.approx(4e6 / run.rate_ratio, rel=1e-3)
    first = rows_of(result, "c", "from 4M")[0, 0]
    assert first == run.started_at + run.curves("loss").sequences[0]
    alone, *others = result.drawing.axes
    for ax in others:
        assert (
            "the paper's" in ax.get_legend().get_title().get_text() and ax.get_legend().get_texts()
        )
    crosses = {line.get_color() for line in alone.get_lines() if line.get_marker() == "x"}
    labelled = [line for line in alone.get_lines() if "the paper" in str(line.get_label())]
    assert [line.get_color() for line in labelled] == ["grey"] and len(crosses) >= 2


def test_panels_without_runs_say_so_and_their_claims_are_not_tested():
    alone, *others = needs_of("4")
    result = render("4", [alone, *([] for _ in others)])
    assert not {curve for panel, curve, *_ in result.numbers if panel == "b"}
    verdicts = [each["verdict"] for each in result.provenance["claims"]]
    assert [each for each in verdicts if each != "not tested"] == ["contradicted"]
    main, matched, *_ = needs_of("6")
    titles = [ax.get_title(loc="left") for ax in render("6", [main, matched, [], []]).drawing.axes]
    assert ["no run yet" in title for title in titles] == [False, True]


def test_icl_is_learnt_when_its_loss_is_below_that_of_guessing_among_two():
    alone = kept_runs("coopetition/icl_only")[0]
    losses = alone.curves("loss")
    at = events.icl_loss_below_chance(alone) / alone.rate_ratio
    assert (losses.values["icl"][losses.sequences < at - 2e4] > math.log(2)).all()
    never = kept_runs("coopetition/grafted_4M")[0]
    assert events.icl_loss_below_chance(never) is None
    assert never.curves("loss").values["icl"].min() > math.log(2)


def test_help_is_judged_by_the_run_alone_of_the_same_seeds(monkeypatch):
    def run(at, seeds=(5, 2), lasts=64.0):
        return SimpleNamespace(at=at, seeds=seeds, lasts=lambda millions: lasts >= millions)

    monkeypatch.setattr(figure_4, "icl_loss_below_chance", lambda run: run.at)
    holds = figure_4.learns_sooner([run(8e6), run(None, (6, 2)), run(None, (7, 2), lasts=10.0)])
    assert holds(run(5e6)) is True
    assert holds(run(8e6)) is False, "it is learnt, but alone it is too"
    assert holds(run(None)) is False and holds(run(None, lasts=10.0)) is None
    assert holds(run(9e6, (6, 2))) is True, "alone never"
    assert holds(run(9e6, (7, 2))) is None, "alone not yet"
    assert holds(run(1e6, (5, 3))) is None, "no run alone of these seeds"


def test_speed_ups_compare_runs_of_the_same_seed(monkeypatch):
    alone = [SimpleNamespace(init_seed=k, at=4.0 + k) for k in (5, 6)]
    alone.append(SimpleNamespace(init_seed=7, at=math.inf))
    monkeypatch.setattr(page_coopetition, "kept_runs", lambda preset: alone)
    runs = [SimpleNamespace(init_seed=k, at=3.0) for k in (6, 5, 8, 7)]
    assert page_coopetition.speed_ups(runs, lambda run: run.at) == [10 / 3, 3.0, math.inf]
    late = [SimpleNamespace(init_seed=k, at=math.inf) for k in (5, 7)]
    assert page_coopetition.speed_ups(late, lambda run: run.at) == [0.0], "7 emerges in neither"


def test_what_the_page_on_coopetition_says_of_losses():
    def time(run):
        return events.icl_loss_below_chance(run) or math.inf

    mains = kept_runs(MAIN)
    assert 2 * sum(time(run) == math.inf for run in mains) > len(mains)
    assert all(time(run) < math.inf for run in kept_runs("coopetition/icl_only"))
    by_start = by_number(kept_runs("coopetition/grafted_*"))
    sooner = {at for at, runs in by_start.items()
              if np.median(page_coopetition.speed_ups(runs, time)) > 1}  # fmt: skip
    assert sooner == {at for at in by_start if at > 15}


@pytest.mark.slow  # fits the toy
def test_what_the_page_on_coopetition_says_of_the_three():
    transformer, drawn, fitted = page_coopetition.all_answers()
    assert all(transformer.fades) and all(fitted.fades) and drawn.fades.count(False) == 1
    assert np.median(transformer.alone) > 1
    assert max(fitted.alone) < 1 and sum(ratio > 1 for ratio in drawn.alone) == 1
    first, last = (
        [[*each.late.values()][end] for each in (transformer, drawn, fitted)] for end in (0, -1)
    )
    assert all(map(all, first))
    shares = [float(np.mean(each)) for each in last]
    assert shares[0] == 0 and shares[1] < 0.25 and shares[2] > 0.5


def test_times_at_two_rates_are_compared_in_steps_times_rate():
    fast, slow = kept_runs(MAIN), kept_runs(MAIN, scale="paper")
    ratios = figure_rates.time_ratios(fast, slow, "fade")
    assert fast[0].rate_ratio == pytest.approx(10) and slow[0].rate_ratio == pytest.approx(1)
    fades = [{run.init_seed: run.timeline().fade for run in runs} for runs in (fast, slow)]
    expected = {seed: 10 * fades[0][seed] / fade for seed, fade in fades[1].items()}
    assert len(expected) == 3 and ratios == pytest.approx(expected)


@given(
    arrays(float, (4, 3), elements=st.floats(-10, 10).map(lambda x: round(x, 3))),
    st.floats(0.1, 5),
)
def test_shares_of_variance_are_those_of_an_analysis_of_variance(values, scale):
    shares = figure_seeds.variance_shares(values)
    if shares is None:
        assert np.ptp(values) == 0
        return
    assert sum(shares) == pytest.approx(1) and min(shares) > -1e-9
    assert figure_seeds.variance_shares(scale * values + 3) == pytest.approx(shares, abs=1e-6)
    rows, columns, rest = figure_seeds.variance_shares(values.T)
    assert (columns, rows, rest) == pytest.approx(shares, abs=1e-9)


def test_seeds_that_do_not_matter_are_seldom_said_to():
    """One in twenty, by the level, over four events; above 0.07 of 2,000 once in 40,000 times."""
    rng = np.random.default_rng(0)
    decides = figure_seeds.initial_seed_decides
    found = [decides(rng.standard_normal((4, 4, 3))) for _ in range(2000)]
    for answer in (True, False):
        assert np.mean([each is answer for each in found]) < 0.07
    init, data = np.array([[0.0], [1.0], [2.0], [5.0]]), np.array([0.0, 3.0, 6.0])
    noise = 0.3 * rng.standard_normal((4, 3))
    assert decides([noise, init + noise])
    assert decides([init + noise, data + noise]) is False
    assert decides([np.full((4, 3), np.nan)]) is None, "an event that some runs lack"


@pytest.mark.parametrize(
    ("accuracy", "below"), [(0.46, True), (0.481, None), (0.51, None), (0.54, False)]
)
def test_within_two_standard_errors_of_a_level_is_inconclusive(accuracy, below):
    """Of 1,000 sequences: 0.032 about one half."""
    assert figure_11.is_below(accuracy, 0.5, 1000) is below


def test_curves_with_the_second_layer_fixed_are_not_constant():
    (first, *_), (second, *_) = (
        kept_tables(MAIN, kind) for kind in ("layer_1_of_end", "layer_2_fixed")
    )
    assert figure_3.is_constant(first) and not figure_3.is_constant(second)
    fixed, own = figure_3.spreads(second)
    assert fixed == pytest.approx(own, rel=0.2), "these are the run's own curves"


def test_a_rise_is_distinguished_from_noise():
    """Of losses that fall by 2 % a sample and scatter by 0.75 %, as ours."""
    rng = np.random.default_rng(0)
    falling = np.log(7.0) - 0.02 * np.arange(22)
    bumped = falling + 0.1 * ((np.arange(22) > 9) & (np.arange(22) < 13))
    assert figure_5.rises(np.exp(falling)) is False
    noisy = [0.0075 * rng.standard_normal(22) for _ in range(1000)]
    assert not any(figure_5.rises(np.exp(falling + each)) for each in noisy)
    assert np.mean([figure_5.rises(np.exp(bumped + each)) is True for each in noisy]) > 0.9
    paper = pd.read_csv(DATA / "published" / "figure_5b_loss.csv").query(
        "3e6 <= sequences <= 4.4e6"
    )
    assert figure_5.rises(paper.ciwl.to_numpy()) is None, "within the scatter of reading it off"
    assert figure_5.rises(paper.icl.to_numpy()) is False


def test_figure_5_shows_toy_transformer_and_fit():
    run = kept_runs("glyphs")[0]
    result = figure_5.draw_fit(run, fits.fit_run(run, **QUICK))
    assert {row[0] for row in result.numbers} == {
        "a toy", "b transformer", "c fitted", "c observed",
    }  # fmt: skip
    x, observed = rows_of(result, "c observed", "icl")
    losses = run.curves("loss").values["icl"]
    assert observed == pytest.approx(losses[-len(observed) :], rel=1e-4)
    assert x[0] >= fits.LEAD * run.timeline().emergence
    assert result.provenance["toy"]["stopped_at"] == 9620


def test_figures_16_and_17_show_what_was_published():
    """10 of 12 draws show transience with mu1 = 0.1, none without."""
    assert render("16").provenance["fates"] == {"icl_transient": 10, "never": 2}
    persistent = render("17")
    assert persistent.provenance["fates"] == {"icl_persistent": 10, "never": 2}
    assert len(persistent.drawing.axes) == 12


def test_figure_15c_is_the_papers_manipulation_or_says_that_it_is_not_measured():
    figure = find_figure("coopetition", "15")
    (tables,) = needs_of("15")
    result = figure.render([tables])
    assert not [row for row in result.numbers if row[0] == "c"], "the paper's panel is another"
    assert any("not measured" in text.get_text() for text in result.drawing.axes[2].texts)
    together = next(claim for claim in figure.claims if claim.text.startswith("all heads"))
    assert together.judge(tables).verdict == "not tested"
    common = {"layer": "1", "measure": "superposition", "what": "one of all", "value": "0.98"}
    rows = [common | {"head": str(head), "at": str(at)} for head in range(8) for at in (0.1, 1.0)]
    measured = replace(tables[0], rows=[*tables[0].rows, *rows])
    curves = {curve for panel, curve, *_ in figure.render([[measured]]).numbers if panel == "c"}
    assert {f"head {head}" for head in range(8)} < curves
    assert together.judge([measured]).mean == pytest.approx(0.98)


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
    run = descend_batch(page_coopetition.fitted_batch([fit]), steps.tolist(), step=step)
    for row, name in enumerate(("total", "icl", "ciwl")):
        assert run.losses[name][-3:, 0] == pytest.approx(expected[row], rel=2e-3, abs=1e-4)
