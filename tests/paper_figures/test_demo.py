"""The demo's report and figure, and what the documents say of the kept runs."""

from pathlib import Path

import numpy as np
import pytest

from paper_figures.coopetition.fits import fit_run
from paper_figures.core.runs import FigureRun, kept_runs
from paper_figures.demo import QUICK_STEPS, _report, demo_config, demo_table, draw_demo

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run():
    return kept_runs("demo")[0]


@pytest.fixture(scope="module")
def fitted(run):
    return fit_run(run, n_screened=16, n_starts=1, max_iterations=1)


def cut(run, n_samples, folder):
    """Return the run with its first samples only."""
    lines = run.path.read_text().splitlines()[: n_samples + 1]
    path = folder / "short.csv"
    path.write_text("\n".join(lines) + "\n")
    step = int(lines[-1].split(",")[0]) // run.batch_size
    return FigureRun("short", path, run.provenance | {"step": step})


def test_the_kept_runs_show_the_phenomenon():
    """Flip accuracy above 0.7, and below 0.3 afterwards, in at least five of six seeds."""
    events = [run.timeline() for run in kept_runs("demo")]
    assert len(events) == 6
    assert sum(each.flip_peak > 0.7 and each.flip_final < 0.3 for each in events) >= 5


def test_the_report_shows_run_fit_and_seeds(run, fitted):
    report, events = _report(run, fitted, False, 12.0), run.timeline()
    assert f"emerged (Flip accuracy up to {events.flip_peak:.2f}) and then faded" in report
    assert "6,400 classes" in report and "--quick" not in report
    assert fitted.summary() in report and demo_table() in report
    panels = {panel for panel, *_ in draw_demo(run, fitted).numbers}
    assert panels == {"a accuracy", "b transformer", "c toy", "d fitted", "d observed"}


def test_a_run_that_is_too_short_is_called_so_in_text_and_figure(run, fitted, tmp_path):
    before = cut(run, 3, tmp_path)
    report = _report(before, fitted, True, 12.0)
    assert "is at chance" in report and "--quick" in report.splitlines()[2]
    titles = [ax.get_title() for ax in draw_demo(before, fitted).drawing.axes]
    assert all("ICL at chance" in title for title in titles[:2])
    assert "it has not faded" in _report(cut(run, 8, tmp_path), fitted, True, 12.0)
    quick, whole = demo_config(quick=True), demo_config(quick=False)
    assert quick.n_steps == QUICK_STEPS < whole.n_steps
    assert (quick.model, quick.data, quick.optim) == (whole.model, whole.data, whole.optim)


def test_the_documents_say_what_the_kept_glyph_runs_show():
    """What is not generated (`test_pages`)."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = " ".join(" ".join(path.read_text() for path in documents).split())

    runs = kept_runs("glyphs")
    length = min(run.n_sequences for run in runs)
    faded = [run.init_seed for run in runs if run.timeline(length).fade is not None]
    words = np.array(["no", "one", "two", "three", "four", "five", "six"])
    seeds = f"{', '.join(map(str, faded[:-1]))} and {faded[-1]}"
    assert f"{words[len(runs)]} runs of {length / 1e6:.1f} million sequences" in text
    assert f"faded within the run in {words[len(faded)]} of them ({seeds})" in text
