"""The demo's report."""

from paper_figures.coopetition.figure_5 import fit_run
from paper_figures.demo import _report
from paper_figures.sources import kept_runs


def test_the_report_tells_runs_fit_and_seeds():
    run = kept_runs("glyphs")[0]
    fitted = fit_run(run, n_screened=16, n_starts=1, max_iterations=1)
    report = _report(run, fitted, False, 12.0)
    assert "In-context learning emerged and then faded." in report
    assert f"Of {len(kept_runs('glyphs'))} runs" in report
    assert "12,800 classes of procedural glyphs" in report and "R2" in report
