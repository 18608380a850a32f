"""What our runs show under interventions, for docs/interventions.md: findings and a table."""

import math
from collections.abc import Iterator

import numpy as np

from paper_figures.coopetition.events import icl_above
from paper_figures.figure import find_figure
from paper_figures.needs import all_found
from paper_figures.sources import FigureRun, kept_runs, kept_tables

HEAD = (
    "| in the transformer | in the toy | theory | measured (scale cpu) |",
    "|---|---|---|---|",
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
    return "\n".join([*HEAD, *(f"| {' | '.join(row)} |" for row in _rows())])


def _rows() -> Iterator[tuple[str, str, str, str]]:
    main, alone, clamped = (_first(name) for name in ("main", "icl_only", "icl_only_clamped"))
    yield (
        "ICL-only data (`icl_only`), against `main`",
        "d = 0, clamped",
        "with the published draws CIWL delays ICL; it hastens ICL if d starts small or aligned",
        f"hastens: Flip passes one half at {_at(alone.timeline().emergence)} alone, at "
        f"{_at(main.timeline().emergence)} with CIWL",
    )
    yield (
        "the same, second half that of `main` at 20M (`icl_only_clamped`)",
        "d = 0; b and c clamped at a late state",
        "hastens ICL, in the median of random draws by a factor of 18",
        f"hastens: {_at(clamped.timeline().emergence)} against {_at(alone.timeline().emergence)}",
    )
    yield (
        "the same, second half that of `ciwl_only` (`grafted_*`)",
        "b and c clamped at a state of a CIWL-only run",
        "hurts before CIWL has emerged; then a window opens, and does not close",
        f"ICL accuracy 0.75 from {', '.join(_grafts())}: opens, does not close (the paper's does)",
    )
    yield (
        "ordinary data from a CIWL-only run (`resumed_*`)",
        "all from a state of a CIWL-only run",
        "ICL does not come where CIWL has won (20 of 200 draws)",
        f"Flip at most {', '.join(_resumed())}",
    )
    without = _first("no_previous_token")
    yield (
        "labels cannot see the token before them (`no_previous_token`)",
        "a = 0, clamped",
        "no ICL; CIWL comes without it, in 8 of 10 draws later than with it",
        f"no ICL: Flip at most {without.timeline().flip_peak:.2f}; but CIWL comes sooner: 0.9 at "
        f"{_at(without.timeline().ciwl_90)} against {_at(main.timeline().ciwl_90)}",
    )
    ciwl = _first("ciwl_only")
    yield (
        "CIWL-only data (`ciwl_only`)",
        "a = 0, clamped",
        "the same",
        f"CIWL comes sooner: 0.9 at {_at(ciwl.timeline().ciwl_90)}",
    )
    end = 20e6 / main.rate_ratio
    fixed = _flip("layer_2_fixed", end)
    own = main.curves("in_context_accuracy").between(last=end).values["flip"]
    yield (
        "second layer fixed to a late one (`GraftOut`)",
        "b and c at a late state, a and d as they are",
        "after emergence a and d alone tell ICL from CIWL: preference changes as it did",
        f"as it did: Flip's peak {max(fixed):.2f} ({own.max():.2f} without), {fixed[-1]:.2f} "
        f"({own[-1]:.2f}) at {_at(end)}",
    )
    peak, last = (np.mean(_flip(f"layer_1_of_{name}", end)) for name in ("peak", "end"))
    yield (
        "first layer fixed at Flip's peak, or at its end (`GraftIn`)",
        "a and d clamped, b and c as they are",
        "preference stays whatever b and c do",
        f"stays: from the peak on Flip is {peak:.2f}, or {last:.2f}",
    )


def _first(name: str) -> FigureRun:
    return kept_runs(f"coopetition/{name}")[0]


def _at(sequences: float | None) -> str:
    return "never" if sequences in (None, math.inf) else f"{sequences / 1e6:.2f}M"


def _grafts() -> Iterator[str]:
    for millions in ("4", "8", "15", "31.5", "64"):
        yield f"{millions}M {_at(icl_above(_first(f'grafted_{millions}M')))}"


def _resumed() -> Iterator[str]:
    for millions in (3, 4, 5, 6):
        peaks = [run.timeline().flip_peak for run in kept_runs(f"coopetition/resumed_{millions}M")]
        yield f"{' '.join(f'{peak:.2f}' for peak in peaks)} from {millions}M"


def _flip(kind: str, last: float) -> list[float]:
    """Flip accuracy under a swap, from Flip's peak in the run itself on."""
    table = kept_tables(kind, "coopetition/main")[0]
    own = table.select(evaluator="flip", measure="accuracy", what="in_context_accuracy")
    x, y = own.column("sequences"), own.column("value")
    return y[(x >= table.run.timeline().flip_peak_at) & (x <= last)].tolist()
