"""The table of docs/results.md: our main runs beside the paper's."""

import math
from dataclasses import fields

from coopetition.tools.files import markdown_table
from paper_figures.coopetition.events import LATE
from paper_figures.coopetition.paper_values import FIGURE_1B, PAPER_RUNS, PaperRun
from paper_figures.core.runs import FigureRun, kept_runs

HEIGHTS = ("flip_peak", "icl_peak")
ROWS = {
    "emergence (Flip rises through 0.5)": ("emergence",),
    "Flip peak": ("flip_peak", "flip_peak_at"),
    "fade (Flip falls through 0.5)": ("fade",),
    "Flip falls through 0.1": ("flip_10",),
    "ICL peak": ("icl_peak", "icl_peak_at"),
    "CIWL accuracy reaches 0.75": ("ciwl_75",),
    "CIWL accuracy reaches 0.9": ("ciwl_90",),
}


def events_of(run: FigureRun) -> PaperRun:
    """Return the events of our run, in the paper's sequences."""
    return PaperRun(**{each.name: _event(run, each.name) for each in fields(PaperRun)})


def _event(run: FigureRun, name: str) -> float:
    value = getattr(run.timeline(), name)
    if name in HEIGHTS:
        return value
    return math.inf if value is None else value * run.rate_ratio / 1e6


def main_runs_table() -> str:
    """Return the table in Markdown: events in millions of the paper's sequences."""
    paper = [PAPER_RUNS[seed, 2] for seed in (5, 6, 7)]
    heads, runs = [f"paper, seed {seed}" for seed in (5, 6, 7)], []
    for scale in ("paper", "cpu"):
        own = kept_runs("coopetition/main", scale=scale)
        rate = f"{own[0].learning_rate:.0e}".replace("e-0", "e-")
        heads += [f"ours at {rate}, seed {run.init_seed}" for run in own]
        runs += own
    lengths = [f"{run.n_sequences * run.rate_ratio / 1e6:.0f}" for run in runs]
    ends = [f"{run.at('icl', LATE):.2f}, {run.at('flip', LATE):.2f}" for run in runs]
    paper_end = ", ".join(f"{FIGURE_1B[name][-1][1]:.2f}" for name in ("icl", "flip"))  # of seed 5
    rows = {"length of the run": ["64"] * len(paper) + lengths}
    for name, events in ROWS.items():
        rows[name] = [_cell(each, events) for each in (*paper, *map(events_of, runs))]
    rows["ICL, Flip accuracy at 20M"] = [paper_end, "", "", *ends]
    return markdown_table(["event", *heads], ([name, *row] for name, row in rows.items()))


def _cell(run: PaperRun, names: tuple[str, ...]) -> str:
    values = ((name, getattr(run, name)) for name in names)
    return " at ".join(
        "not yet" if math.isinf(value) else f"{value:.2f}" if name in HEIGHTS else f"{value:.1f}"
        for name, value in values
    )
