"""The page on theories against runs shows what is kept, and scores are what they say."""

import json
from dataclasses import fields

import numpy as np
import pytest

from coopetition.tools.errors import UsageError
from paper_figures.coopetition import page_main_runs
from paper_figures.coopetition.paper_values import PAPER_RUNS, PaperRun
from paper_figures.core.runs import kept_runs
from paper_figures.pages import ROOT
from paper_figures.studies.comparison import compare_theories, page_comparison


def test_every_run_and_theory_is_in_the_tables():
    from coopetition.compare.theory import theories

    names = {run.name for run in compare_theories.all_runs()}
    fitted = page_comparison.fits()
    assert {run for run, _ in fitted} == names | {"published figure 5b"}
    assert all({row["theory"] for row in rows} == {*theories()} for rows in fitted.values())
    risen = {
        run.name
        for run in compare_theories.all_runs()
        if compare_theories.known_until(run) is not None
    }
    for name, by_event in page_comparison.forecasts().items():
        for rows in by_event.values():
            assert {row["run"] for row in rows} == risen, name


def test_new_rows_of_a_run_replace_its_known_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(compare_theories, "FOLDER", tmp_path)
    known = {run: [{"run": run, "x": "0"}] * n for run, n in (("a", 2), ("b", 1), ("c", 1))}
    made = iter([[{"run": "a", "x": 0.5}], [{"run": "d", "x": 2.0}, {"run": "d", "x": None}]])
    compare_theories.write("t", made, 2, known)
    assert (tmp_path / "t.csv").read_text().split() == ["run,x", "a,0.5", "b,0", "c,0", "d,2", "d,"]


def test_an_unknown_run_is_refused():
    with pytest.raises(UsageError, match="main_9.*coopetition/main_5"):
        compare_theories.run(["main_9"])


def row(measured: str, value: str, low: str = "", high: str = "", known_until: str = "1") -> dict:
    return {"measured": measured, "value": value, "low": low, "high": high,
            "known_until": known_until, "end": "100"}  # fmt: skip


def test_scores_are_what_they_say():
    found = page_comparison.score(
        [
            row("10", "20", "5", "15"),  # twice too late, held
            row("10", "5", "11", ""),  # twice too early, not held
            row("", "7", "5", ""),  # never came: held, as the interval is open
            row("10", "", "8", ""),  # not expected: held all the same
        ]
    )
    assert (found.n, found.factor, found.missed, found.covered) == (4, pytest.approx(2), 0.5, 0.75)
    nothing = page_comparison.score([row("10", ""), row("", "")])
    assert np.isnan(nothing.factor) and nothing.missed == 0.5 and nothing.covered is None


def test_the_naive_forecast_knows_the_other_runs_only():
    rows = [
        row("2", "", known_until="1"),
        row("6", "", known_until="2"),
        row("50", "", known_until="5"),
    ]
    values = [each["value"] for each in page_comparison.forecast_like_others(rows)]
    assert values == ["3", "4", "10"], "the lower of the two other ratios, times its own emergence"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_verdicts_are_those_of_the_kept_runs():
    kept = {
        each["claim"]: each["holds"] for each in json.loads(compare_theories.VERDICTS.read_text())
    }
    assert {each["claim"]: each["holds"] for each in compare_theories.verdicts()} == kept


def test_the_readme_quotes_the_fit_to_the_papers_losses():
    rows = page_comparison.fits()["published figure 5b", "loss"]
    toy = next(row for row in rows if row["theory"] == "toy")
    r2 = [f"{float(toy[f'r2_{curve}']):.3f}" for curve in ("train", "icl", "ciwl")]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"the toy reaches R² {r2[0]}, {r2[1]} and {r2[2]} for train, ICL and CIWL" in readme


def test_the_page_quotes_how_well_the_toy_fits():
    """Ranges of R²: all curves at the paper's rate, and ICL's at ten times it."""
    found = {key: next(row for row in rows if row["theory"] == "toy")
             for key, rows in page_comparison.fits().items()}  # fmt: skip

    def span(metric, of, curves):
        r2 = [float(row[f"r2_{curve}"]) for (run, kind), row in found.items()
              if kind == metric and of(run) for curve in curves]  # fmt: skip
        return min(r2), max(r2)

    page = " ".join((ROOT / "docs" / "comparison.md").read_text().split())
    all_three = ("train", "icl", "ciwl")
    for of, words in (
        ("published", "On the paper's own losses it has R² {:.3f} to {:.3f},"),
        ("(paper)", "our main run at the paper's learning rate {:.3f} to {:.3f}."),
    ):
        assert words.format(*span("loss", lambda run, of=of: of in run, all_three)) in page

    def fast(run):
        return run.startswith("coopetition/") and "(paper)" not in run

    losses, accuracies = (span(m, fast, ["icl"]) for m in ("loss", "in_context_accuracy"))
    quoted = "(R² {:.2f} to {:.2f} of its losses, {:.2f} to {:.2f} of its accuracies)"
    assert quoted.format(*losses, *accuracies) in page


def test_the_readme_quotes_how_near_our_run_is_at_the_papers_rate():
    assert "within a factor of 1.5 in every event" in (ROOT / "README.md").read_text()
    (run,) = kept_runs("coopetition/main", scale="paper")
    ours, theirs = page_main_runs.events_of(run), PAPER_RUNS[5, 2]
    for each in fields(PaperRun):
        ratio = getattr(ours, each.name) / getattr(theirs, each.name)
        assert 1 / 1.5 < ratio < 1.5, each.name
