"""The demo's report, and what else is told of the kept runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paper_figures.coopetition.figure_5 import draw_run, fit_run
from paper_figures.demo import _report, rise_and_fade
from paper_figures.sources import FigureRun, kept_runs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run():
    return kept_runs("glyphs")[0]


@pytest.fixture(scope="module")
def fitted(run):
    return fit_run(run, n_screened=16, n_starts=1, max_iterations=1)


@pytest.fixture
def short(run, tmp_path):
    """The same run's first samples, in which ICL is at chance."""
    lines = run.path.read_text().splitlines()[:10]
    path = tmp_path / "short.csv"
    path.write_text("\n".join(lines) + "\n")
    return FigureRun("short", path, run.provenance)


def test_the_report_tells_runs_fit_and_seeds(run, fitted):
    report = _report(run, fitted, False, 12.0)
    assert "In-context learning emerged and then faded." in report
    assert "Of 6 runs of 1,536,000 sequences" in report
    assert "ICL emerged in 6 (Flip accuracy above 0.5) and faded within the run in 4" in report
    assert "12,800 classes of procedural glyphs" in report and "R2" in report


def test_the_report_says_first_what_is_amiss_with_the_fit(run, fitted):
    def first_line(fit):
        return (
            _report(run, fit, False, 12.0).split("fitted to the transformer\n")[1].splitlines()[0]
        )

    hasty = replace(fitted, converged=False, at_bound=("mu1",))
    assert "unfinished; at a bound of the search: mu1" in first_line(hasty)
    sound = replace(fitted, converged=True, at_bound=(), integration_error=0.0)
    assert first_line(sound).startswith("The fit has converged")


def test_a_run_that_is_too_short_says_so_in_words_and_picture(short, fitted):
    report = _report(short, fitted, True, 12.0)
    assert "In-context learning is at chance throughout (Flip accuracy at most 0.5" in report
    assert "leave out --quick" in report
    titles = [ax.get_title() for ax in draw_run(short, fitted).drawing.axes]
    assert titles[1].startswith("b  transformer: ICL at chance (Flip at most 0.5")


def test_the_documents_tell_what_the_kept_runs_show():
    """The numbers of the README and of docs/ are those of the kept curves."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    told = " ".join(" ".join(path.read_text() for path in documents).split())

    def thousands(values):
        return " | ".join("not within the run" if v is None else f"{v / 1e3:,.0f}" for v in values)

    omniglot = [run.timeline() for run in kept_runs("omniglot")]
    assert f"| {thousands([each.emergence for each in omniglot])} |" in told
    assert f"| {thousands([each.fade for each in omniglot])} |" in told
    runs = kept_runs("glyphs")
    length = min(run.n_sequences for run in runs)
    faded = [run.init_seed for run in runs if rise_and_fade(run.timeline(length))[1]]
    words = np.array(["no", "one", "two", "three", "four", "five", "six"])
    seeds = f"{', '.join(map(str, faded[:-1]))} and {faded[-1]}"
    assert f"{words[len(runs)]} runs of {length / 1e6:.1f} million sequences" in told
    assert f"faded within the run in {words[len(faded)]} ({seeds})" in told
