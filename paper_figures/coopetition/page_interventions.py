"""The list and the table of docs/interventions.md: what our runs show under interventions."""

import math
from collections.abc import Iterator

import numpy as np

from coopetition.tools.files import markdown_table
from paper_figures.coopetition.events import icl_reaches
from paper_figures.core.figure import find_figure
from paper_figures.core.runs import FigureRun, by_number, find_needs, kept_runs, kept_tables

HEADS = (
    "in the transformer",
    "in the toy",
    "theory",
    "measured (scale cpu, the first seed; the paper's sequences)",
)
FIGURES = ("composition", "2", "12", "3", "14", "15", "18")


def findings_list() -> str:
    """Return what the figures of models show, as a list in Markdown."""
    lines = []
    for name in FIGURES:
        figure = find_figure("coopetition", name)
        result = figure.draw(*find_needs(figure.needs))
        lines += [f"- {figure.number}: {line}" for line in result.findings]
    return "\n".join(lines)


def counterparts_table() -> str:
    """Return interventions on the transformer beside those on the toy, in Markdown."""
    return markdown_table(HEADS, _rows())


def _rows() -> Iterator[tuple[str, str, str, str]]:
    main, alone, clamped, without, ciwl_only = (
        kept_runs(f"coopetition/{name}")[0]
        for name in ("main", "icl_only", "icl_only_clamped", "no_previous_token", "ciwl_only")
    )
    yield (
        "ICL-only data (`icl_only`), against `main`",
        "d = 0, clamped",
        "with the published draws CIWL delays ICL; it speeds ICL up if d starts small or aligned",
        f"{_effect(alone, main)}: ICL accuracy exceeds 0.75 at {_icl_time(alone)} alone, at "
        f"{_icl_time(main)} with CIWL",
    )
    yield (
        "the same, second half that of `main` at 20M (`icl_only_clamped`)",
        "d = 0; b and c clamped at a late state",
        "speeds ICL up, in the median of random draws by a factor of 18",
        f"{_effect(alone, clamped)}: {_icl_time(clamped)} against {_icl_time(alone)}",
    )
    grafted = by_number(kept_runs("coopetition/grafted_*"))
    times = ", ".join(f"{at:g}M {_icl_time(runs[0])}" for at, runs in grafted.items())
    yield (
        "the same, second half that of `ciwl_only` (`grafted_*`)",
        "b and c clamped at a state of a CIWL-only run",
        "hurts before CIWL has emerged; then a window opens, and does not close",
        f"ICL accuracy exceeds 0.75, by the checkpoint, at {times}; alone at {_icl_time(alone)}",
    )
    peaks = {
        at: " ".join(f"{run.timeline().flip_peak:.2f}" for run in runs)
        for at, runs in by_number(kept_runs("coopetition/resumed_*")).items()
    }
    yield (
        "ordinary data from a CIWL-only run (`resumed_*`)",
        "b, c and d from a state of a CIWL-only run",
        "after 20,000 steps of CIWL alone ICL emerges in 20 of 200 draws",
        f"Flip at most {', '.join(f'{each} from {at:g}M' for at, each in peaks.items())}",
    )
    yield (
        "labels cannot see the token before them (`no_previous_token`)",
        "a = 0, clamped",
        "no ICL; CIWL emerges without it, in 8 of 10 draws later than with it",
        f"Flip at most {without.timeline().flip_peak:.2f}; CIWL of 0.9 at "
        f"{_ciwl_time(without)} against {_ciwl_time(main)}",
    )
    yield (
        "CIWL-only data (`ciwl_only`)",
        "a = 0, clamped",
        "the same",
        f"CIWL of 0.9 at {_ciwl_time(ciwl_only)}",
    )
    end = 20e6 / main.rate_ratio
    fixed = _flip_after_peak("layer_2_fixed", end)
    own = main.curves().between(last=end).values["flip"]
    yield (
        "second layer fixed to a late one (`GraftOut`)",
        "b and c at a late state, a and d as they are",
        "after emergence a and d alone decide between ICL and CIWL: preference changes as it did",
        f"Flip's peak {fixed.max():.2f} ({own.max():.2f} without), {fixed[-1]:.2f} "
        f"({own[-1]:.2f}) at 20M",
    )
    peak, last = (_flip_after_peak(f"layer_1_of_{name}", end).mean() for name in ("peak", "end"))
    yield (
        "first layer fixed at Flip's peak, or at its end (`GraftIn`)",
        "a and d clamped, b and c as they are",
        "preference stays whatever b and c do",
        f"from the peak on Flip is {peak:.2f}, or {last:.2f}",
    )


def _effect(alone: FigureRun, helped: FigureRun) -> str:
    return "speeds up" if icl_reaches(helped) < icl_reaches(alone) else "does not speed up"


def _icl_time(run: FigureRun) -> str:
    """Return when ICL accuracy exceeds 0.75."""
    return _time_text(icl_reaches(run), run)


def _ciwl_time(run: FigureRun) -> str:
    return _time_text(run.timeline().ciwl_90, run)


def _time_text(sequences: float | None, run: FigureRun) -> str:
    """Return a time in the paper's sequences."""
    if sequences is None or math.isinf(sequences):
        return "never"
    return f"{sequences * run.rate_ratio / 1e6:.1f}M"


def _flip_after_peak(kind: str, last: float) -> np.ndarray:
    """Return Flip accuracy with a layer fixed, from Flip's peak in the run itself on."""
    table = kept_tables("coopetition/main", kind)[0]
    own = table.select(evaluator="flip", measure="accuracy", what="in_context_accuracy")
    x, y = own.column("sequences"), own.column()
    return y[(x >= (table.run.timeline().flip_peak_at or 0.0)) & (x <= last)]
