"""Error floors of ICL and CIWL at each level of variation, beside the errors of kept runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coopetition.dynamics.events import crossing_time
from coopetition.model.exemplar_noise import cue_noise, error_floors
from coopetition.model.presets import CIWL, ICL
from coopetition.tools.files import markdown_table
from paper_figures.core.plotting import MILLION
from paper_figures.core.runs import FigureRun, Runs, by_number, find_needs, kept_runs
from paper_figures.studies.within_class.levels import LAST, measured_gap, range_of

LEARNT = 0.9  # CIWL accuracy


@dataclass(frozen=True, slots=True)
class EvaluationFloors:
    """Error floors on evaluation sequences, and the noise of `TwoCues` that gives each.

    The evaluation draws with replacement from few exemplars of a class.  A query that equals an
    exemplar in context is recognised in spite of the noise, which lowers ICL's floors by the share
    of such queries.

    nearest, best : of ICL;  ciwl : of CIWL;  see `coopetition.model.exemplar_noise`
    sigma, nu : from `nearest` and `ciwl`
    """

    nearest: float
    best: float
    ciwl: float

    @property
    def sigma(self) -> float:
        """Return the noise of ICL's cue."""
        return cue_noise(self.nearest)

    @property
    def nu(self) -> float:
        """Return the noise of CIWL's cue."""
        return cue_noise(self.ciwl)


def evaluation_floors(run: FigureRun) -> EvaluationFloors:
    """Return the error floors on the evaluation sequences of a run on Gaussian classes."""
    config = run.provenance["config"]
    exemplars, new = config["data"]["exemplars"], 1 - 1 / config["evaluation"]["n_exemplars"]
    floors = error_floors(exemplars["noise"], exemplars["d_features"])
    return EvaluationFloors(new * floors.nearest, new * floors.best, floors.ciwl)


def floors_by_level() -> dict[float, EvaluationFloors]:
    """Return the floors at each level of the kept main runs."""
    runs = by_number(kept_runs("within_class/main_*"))
    return {level: evaluation_floors(own[0]) for level, own in runs.items()}


def final_errors(runs: Sequence[FigureRun], evaluator: str) -> list[float]:
    """Return each run's error at its end: the median of the last samples."""
    accuracies = (run.curves().values[evaluator][-LAST:] for run in runs)
    return [1 - float(np.median(each)) for each in accuracies]


def runs_by_level() -> dict[str, Mapping[float, Sequence[FigureRun]]]:
    """Return the kept runs of each mode by level; none of a mode that is not kept yet."""
    modes = ("main", "icl_only", "ciwl_only")
    found = find_needs(Runs(f"within_class/{mode}_*", optional=True) for mode in modes)
    return {mode: by_number(runs) for mode, runs in zip(modes, found, strict=True)}


def floors_table() -> str:
    """Return floors, errors at the end of runs, and times to the crossing, in Markdown."""
    runs, rows = runs_by_level(), []
    for level, floors in floors_by_level().items():
        main = runs["main"][level]
        gap = range_of([measured_gap(run) for run in main]).median
        rows.append(
            (
                f"{level:g}",
                f"{_percent(floors.nearest)} ({_percent(floors.best)})",
                _errors(runs["icl_only"].get(level, ()), ICL),
                _percent(floors.ciwl),
                _errors(runs["ciwl_only"].get(level, ()), CIWL),
                _errors(main, CIWL),
                _percent(floors.nearest - floors.ciwl),
                f"{floors.nearest / floors.ciwl:.0f}",
                "beyond the run" if gap is None else f"{gap / MILLION:.2f}",
            )
        )
    heads = (
        "deviation within a class",
        "ICL: floor (best)",
        "ICL-only runs",
        "CIWL: floor",
        "CIWL-only runs",
        "CIWL in main runs",
        "difference of floors",
        "ratio of floors",
        "peak to crossing",
    )
    return markdown_table(heads, rows)


def ciwl_times(runs: Sequence[FigureRun]) -> list[float]:
    """Return when each run's CIWL accuracy reaches `LEARNT`, in sequences; infinity if never."""
    curves = (run.curves() for run in runs)
    times = (crossing_time(c.sequences, c.values[CIWL], LEARNT, rising=True) for c in curves)
    return [math.inf if time is None else time for time in times]


def delays_table() -> str:
    """Return when CIWL is learnt alone, and in ordinary training, in Markdown."""
    runs, rows = runs_by_level(), []
    for level in floors_by_level():
        texts = (
            ", ".join(_thousands(time) for time in ciwl_times(runs[mode].get(level, ())))
            for mode in ("ciwl_only", "main")
        )
        rows.append((f"{level:g}", *(text or "not measured" for text in texts)))
    return markdown_table(("deviation within a class", "CIWL-only runs", "main runs"), rows)


def _thousands(time: float) -> str:
    return "never" if math.isinf(time) else f"{time / 1000:.0f}"


def _errors(runs: Sequence[FigureRun], evaluator: str) -> str:
    return ", ".join(map(_percent, final_errors(runs, evaluator))) or "not measured"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}"
