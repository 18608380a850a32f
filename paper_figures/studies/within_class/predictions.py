"""Predictions of the toy for runs that are not made yet, from those of one level and ICL alone.

mu1 is ICL's irreducible error.  Between levels of within-class variation it should change as does
the error of ICL where nothing else can be learnt, and nothing else of the toy should change.  The
toy is fitted to the main runs of the `BASE` level.  mu1 times the ratio of these errors predicts
the other levels' mu1, and their times from ICL's peak to the crossing.

`python -m paper_figures.studies.within_class.predictions` writes `predictions.json` from kept runs.
It was committed before the main runs of the other levels were made.  As committed, a run in which
CIWL errs less already at ICL's peak counts as one that never crosses: docs/comparison.md has the
verdicts of that rule, and of this one, which was corrected after the runs.
"""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from coopetition.tools.files import write_json
from paper_figures.core.runs import by_number, kept_runs
from paper_figures.studies.within_class.levels import (
    BASE,
    PATH,
    fit_runs,
    floor_of,
    gap,
    measured_gap,
    range_of,
)

if TYPE_CHECKING:
    from coopetition.fitting.result import Fit

HORIZON = 9.6e5  # sequences: the length of the runs
SAMPLES = 1000


def gap_of(fitted: "Fit", factor: float = 1.0) -> float | None:
    """Return a fitted toy's sequences from ICL's peak to the crossing, with mu1 times a factor."""
    from coopetition.fitting.observation import to_errors

    k = [free.name for free in fitted.problem.free].index("mu1")
    mu1, theta = fitted.problem.free[k].parameter, fitted.theta.copy()
    theta[k] = mu1.to_unit(factor * float(mu1.from_unit(theta[k])))
    sequences = np.linspace(0, HORIZON, SAMPLES)
    curves, metric = replace(fitted, theta=theta).predict(sequences), fitted.problem.runs[0].metric
    return gap(sequences, {name: to_errors(each, metric) for name, each in curves.items()})


def predictions() -> dict[str, Any]:
    """Return what is predicted of every level, and from what."""
    alone = by_number(kept_runs("within_class/icl_only_*"))
    floors = {level: [floor_of(run) for run in runs] for level, runs in alone.items()}
    runs = kept_runs(f"within_class/main_{BASE}")
    fits = fit_runs(runs)
    mu1 = [each.parameters["mu1"] for each in fits]
    levels = {}
    for level, own in floors.items():
        ratios = [floor / base for floor, base in zip(own, floors[BASE], strict=True)]
        ratio = float(np.median(ratios))
        levels[f"{level}"] = {
            "icl_only_loss": asdict(range_of(own)),
            "ratio": asdict(range_of(ratios)),
            "mu1": asdict(range_of([ratio * each.value for each in mu1])),
            "peak_to_crossing": asdict(range_of([gap_of(each, ratio) for each in fits])),
        }
    return {
        "base": BASE,
        "base_mu1": {run.name: asdict(each) for run, each in zip(runs, mu1, strict=True)},
        "base_peak_to_crossing_measured": asdict(range_of([*map(measured_gap, runs)])),
        "levels": levels,
    }


if __name__ == "__main__":
    write_json(PATH, predictions())
    print(f"wrote {PATH}")
