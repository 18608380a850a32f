"""What our runs show under interventions, for docs/interventions.md: findings and a table."""

import math
from collections.abc import Iterator

import numpy as np

from coopetition.tools.files import markdown_table
from paper_figures.coopetition.events import icl_above
from paper_figures.coopetition.three_ways import kept_from
from paper_figures.core.figure import find_figure
from paper_figures.core.runs import FigureRun, all_found, kept_runs, kept_tables
from transformer.experiments.coopetition import GRAFTED_AT, RESUMED_AT

HEADS = (
    "in the transformer",
    "in the toy",
    "theory",
    "measured (scale cpu, the first seed; the paper's sequences)",
)
FIGURES = ("composition", "2", "12", "3", "14", "15", "18")


def evidence() -> str:
    """A list in Markdown of what the figures of models find."""
    lines = []
    for name in FIGURES:
        figure = find_figure("coopetition", name)
        found = figure.draw(*all_found(figure.needs))
        lines += [f"- {figure.number}: {line}" for line in found.findings]
    return "\n".join(lines)


def counterparts_table() -> str:
    """Rows in Markdown; what was measured is read off the kept runs."""
    return markdown_table(HEADS, _rows())


def _rows() -> Iterator[tuple[str, str, str, str]]:
    main, alone, clamped = (_first(name) for name in ("main", "icl_only", "icl_only_clamped"))
    yield (
        "ICL-only data (`icl_only`), against `main`",
        "d = 0, clamped",
        "with the published draws CIWL delays ICL; it hastens ICL if d starts small or aligned",
        f"{_hastens(alone, main)}: ICL accuracy passes 0.75 at {_comes(alone)} alone, at "
        f"{_comes(main)} with CIWL",
    )
    yield (
        "the same, second half that of `main` at 20M (`icl_only_clamped`)",
        "d = 0; b and c clamped at a late state",
        "hastens ICL, in the median of random draws by a factor of 18",
        f"{_hastens(alone, clamped)}: {_comes(clamped)} against {_comes(alone)}",
    )
    yield (
        "the same, second half that of `ciwl_only` (`grafted_*`)",
        "b and c clamped at a state of a CIWL-only run",
        "hurts before CIWL has emerged; then a window opens, and does not close",
        f"ICL accuracy passes 0.75, by the checkpoint, at {', '.join(_grafts())}; alone at "
        f"{_comes(alone)}",
    )
    yield (
        "ordinary data from a CIWL-only run (`resumed_*`)",
        "b, c and d from a state of a CIWL-only run",
        "after 20,000 steps of CIWL alone ICL comes in 20 of 200 draws",
        f"Flip at most {', '.join(_resumed())}",
    )
    without = _first("no_previous_token")
    yield (
        "labels cannot see the token before them (`no_previous_token`)",
        "a = 0, clamped",
        "no ICL; CIWL comes without it, in 8 of 10 draws later than with it",
        f"Flip at most {without.timeline().flip_peak:.2f}; CIWL of 0.9 at "
        f"{_ciwl_90(without)} against {_ciwl_90(main)}",
    )
    ciwl = _first("ciwl_only")
    yield (
        "CIWL-only data (`ciwl_only`)",
        "a = 0, clamped",
        "the same",
        f"CIWL of 0.9 at {_ciwl_90(ciwl)}",
    )
    end = 20e6 / main.rate_ratio
    fixed = _flip("layer_2_fixed", end)
    own = main.curves("in_context_accuracy").between(last=end).values["flip"]
    yield (
        "second layer fixed to a late one (`GraftOut`)",
        "b and c at a late state, a and d as they are",
        "after emergence a and d alone tell ICL from CIWL: preference changes as it did",
        f"Flip's peak {max(fixed):.2f} ({own.max():.2f} without), {fixed[-1]:.2f} "
        f"({own[-1]:.2f}) at 20M",
    )
    peak, last = (np.mean(_flip(f"layer_1_of_{name}", end)) for name in ("peak", "end"))
    yield (
        "first layer fixed at Flip's peak, or at its end (`GraftIn`)",
        "a and d clamped, b and c as they are",
        "preference stays whatever b and c do",
        f"from the peak on Flip is {peak:.2f}, or {last:.2f}",
    )


def _hastens(alone: FigureRun, helped: FigureRun) -> str:
    return "hastens" if icl_above(helped) < icl_above(alone) else "does not hasten"


def _first(name: str) -> FigureRun:
    return kept_runs(f"coopetition/{name}")[0]


def _comes(run: FigureRun) -> str:
    """When ICL accuracy passes 0.75."""
    return _at(icl_above(run), run)


def _ciwl_90(run: FigureRun) -> str:
    return _at(run.timeline().ciwl_90, run)


def _at(sequences: float | None, run: FigureRun) -> str:
    """In the paper's sequences."""
    if sequences is None or math.isinf(sequences):
        return "never"
    return f"{sequences * run.rate_ratio / 1e6:.1f}M"


def _grafts() -> Iterator[str]:
    for millions, runs in kept_from("grafted", GRAFTED_AT):
        yield f"{millions:g}M {_comes(runs[0])}"


def _resumed() -> Iterator[str]:
    for millions, runs in kept_from("resumed", RESUMED_AT):
        peaks = " ".join(f"{run.timeline().flip_peak:.2f}" for run in runs)
        yield f"{peaks} from {millions:g}M"


def _flip(kind: str, last: float) -> list[float]:
    """Flip accuracy under a swap, from Flip's peak in the run itself on."""
    table = kept_tables(kind, "coopetition/main")[0]
    own = table.select(evaluator="flip", measure="accuracy", what="in_context_accuracy")
    x, y = own.column("sequences"), own.column("value")
    return y[(x >= table.run.timeline().flip_peak_at) & (x <= last)].tolist()
