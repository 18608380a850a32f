"""The page on theories against runs shows what is kept, and scores are what they say."""

import json
from dataclasses import fields, replace
from statistics import median

import numpy as np
import pytest

from coopetition.dynamics.events import FORECAST_EVENTS
from coopetition.tools.errors import UsageError
from paper_figures.coopetition import page_main_runs
from paper_figures.coopetition.paper_values import PAPER_RUNS, PaperRun
from paper_figures.core.figure import find_figure
from paper_figures.core.runs import kept_runs
from paper_figures.pages import ROOT
from paper_figures.studies.comparison import (
    compare_theories,
    figure_3_calibration,
    kept_forecasts,
    page_comparison,
)


def test_tables_are_of_known_runs_and_have_the_same_theories_for_each():
    fitted = page_comparison.fits()
    assert {*fitted} <= {(run, metric) for run, metric, _ in keys("fits")}
    assert len({frozenset(row["theory"] for row in rows) for rows in fitted.values()}) == 1
    known = {run for run, _ in keys("forecasts")}
    assert "glyphs_7" not in known, "Flip rises so late that nothing is left to forecast"
    for name, by_event in kept_forecasts.forecasts().items():
        assert [*by_event] == [*FORECAST_EVENTS]
        runs = {each.runs for each in by_event.values()}
        assert len(runs) == 1 and {*runs.pop()} <= known, name


def keys(table: str) -> list[tuple[str, ...]]:
    return [each.key for each in compare_theories.all_problems() if each.table == table]


def test_a_table_is_completed_and_sorted(tmp_path, monkeypatch):
    monkeypatch.setattr(compare_theories, "FOLDER", tmp_path)
    computed = []

    def problem(run: str, n: int = 1) -> compare_theories.Problem:
        def rows():
            computed.append(run)
            return [{"event": f"e{k}", "measured": None, "r_hat": 1 / 3} for k in range(n)]

        return compare_theories.Problem("forecasts", (run, "toy"), rows)

    problems = [problem("a"), problem("b", 2), problem("c")]
    monkeypatch.setattr(compare_theories, "all_problems", lambda: problems)
    for part in ("2/2", "1/2", "1/1"):
        assert compare_theories.run(["forecasts", "--part", part]) == 0
    assert computed == ["b", "a", "c"], "nothing is computed twice"
    rows = (tmp_path / "forecasts.csv").read_text().split()
    head, line = "run,theory,event,measured,r_hat", "{},toy,e{},,0.333333"
    assert rows == [head, *(line.format(*each) for each in ("a0", "b0", "b1", "c0"))]
    for part in ("0/2", "3/2", "x", "1"):
        with pytest.raises(UsageError, match="--part"):
            compare_theories.run(["forecasts", "--part", part])


def test_an_unknown_run_or_theory_is_refused():
    with pytest.raises(UsageError, match="main_9.*coopetition/main_5"):
        compare_theories.run(["--runs", "main_9"])
    with pytest.raises(UsageError, match="magic.*toy"):
        compare_theories.run(["--theories", "magic"])


INF = np.inf
RUNS = (*(f"coopetition/{k}" for k in range(12)), *(f"glyphs_{k}" for k in range(12)))


def forecasts_of(measured, value, low, high, runs=RUNS) -> kept_forecasts.EventForecasts:
    """Forecasts from 1 to 100, with a CRPS of 0."""
    columns = [np.ones(len(measured)), np.full(len(measured), 100.0), measured, value, low, high]
    arrays = (np.array(each, float) for each in (*columns, np.zeros(len(measured))))
    return kept_forecasts.EventForecasts(runs[: len(measured)], *arrays)


def test_scores_are_what_they_say():
    each = forecasts_of(
        [10, 10, INF, 10],
        [20, 5, 7, INF],
        [5, 11, 5, 8],  # held; not held; never, and the interval is open; held
        [15, 20, INF, INF],
    )
    found = kept_forecasts.score([each])
    assert (found.n, found.factor, found.missed, found.coverage) == (4, pytest.approx(2), 0.5, 0.75)
    assert found.width == pytest.approx(np.sqrt(100 / 8 * 3)), "the median of 20/11, 3, 12.5, 20"
    expected = np.log([3, 20 / 11 * 1.1**20, 20, 100 / 8])
    assert found.interval_score == pytest.approx(expected.mean())
    assert np.isnan(kept_forecasts.score([forecasts_of([10], [INF], [8], [INF])]).factor)


def test_intervals_are_widened_by_the_errors_of_the_other_task():
    """Off by a factor of 2 in one task: the other task's intervals widen by 2 at each end."""
    measured = np.repeat([20.0, 10.0], 12)
    each = forecasts_of(measured, [10] * 24, [10] * 24, [10] * 24).recalibrate()
    np.testing.assert_allclose([each.low[-1], each.high[-1]], [5, 20])
    np.testing.assert_allclose([each.low[0], each.high[0]], [10, 10])


def test_naive_forecasts_know_other_runs_only():
    runs = ("coopetition/1", "coopetition/2", "glyphs_1")
    each = forecasts_of([2, 6, 50], [INF] * 3, [INF] * 3, [INF] * 3, runs)
    each = replace(each, known_until=np.array([1.0, 2.0, 5.0]))
    ratios = {kind: kept_forecasts.naive_ratios(each, kind) for kind in kept_forecasts.NAIVE}
    by_kind = {kind: kept_forecasts.naive_forecasts(each, own) for kind, own in ratios.items()}
    assert by_kind[kept_forecasts.LIKE_OTHERS].value.tolist() == [3, 4, 10], "the lower ratio"
    assert by_kind[kept_forecasts.LIKE_OTHER_TASKS].value.tolist() == [10, 20, 10]
    nothing = by_kind[kept_forecasts.NO_CHANGE]
    assert np.isinf(nothing.value).all() and nothing.crps[0] == pytest.approx(np.log(50))


@pytest.mark.parametrize("slot", ["1", "2", "3"])
def test_figures_are_drawn_from_the_tables(slot):
    found = find_figure("comparison", slot).render([])
    assert found.findings and all(np.isfinite(row[2:]).all() for row in found.numbers)
    assert all(len(ax.get_lines()) > 0 for ax in found.drawing.axes)


def test_coverage_is_the_share_of_true_values_inside(tmp_path, monkeypatch):
    monkeypatch.setattr(figure_3_calibration, "FOLDER", tmp_path)
    rows = ["converged,rank_a,rank_b", "True,0.5,0.06", "True,0.5,0.04", "False,0.96,0.97"]
    (tmp_path / "parameters_toy.csv").write_text("\n".join([*rows, ""]))
    *_, line = figure_3_calibration.coverage_table().splitlines()
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["`toy`", "parameters", "3", "0.50", "2", "0.75"]


def test_tasks_are_told_by_names():
    tasks = {kept_forecasts.task_of(run) for run, *_ in keys("fits")}
    assert tasks == {*kept_forecasts.TASKS.values()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_verdicts_are_those_of_the_kept_runs():
    kept = {
        each["claim"]: each["holds"] for each in json.loads(compare_theories.VERDICTS.read_text())
    }
    assert {each["claim"]: each["holds"] for each in compare_theories.verdicts()} == kept


@pytest.mark.parametrize("page", ["README.md", "docs/results.md", "paper.md"])
def test_pages_quote_how_near_our_runs_are_at_the_papers_rate(page):
    text = " ".join((ROOT / page).read_text().split())
    assert "medians of three seeds" in text and "within a factor of 1.3 in every event" in text
    runs = kept_runs("coopetition/main", scale="paper")
    ours = {run.init_seed: page_main_runs.events_of(run) for run in runs}
    theirs = {seed: PAPER_RUNS[seed, 2] for seed in ours}
    assert len(ours) == 3
    for each in fields(PaperRun):
        medians = [median(getattr(x, each.name) for x in g.values()) for g in (ours, theirs)]
        assert 1 / 1.3 < medians[0] / medians[1] < 1.3, each.name
