"""Our main runs beside the paper's, for the README."""

import math
from dataclasses import fields

from coopetition.tools.files import markdown_table
from paper_figures.coopetition.events import LATE
from paper_figures.coopetition.figure_1 import SHOWN
from paper_figures.coopetition.paper_seeds import PAPER, Seen
from paper_figures.core.runs import FigureRun, Runs
from transformer.experiments.coopetition import DATA_SEED, SEEDS

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
THEIR_LENGTH = "64"  # millions


def seen_of(run: FigureRun) -> Seen:
    """The events of a run of ours, in the paper's sequences."""
    return Seen(**{each.name: _seen(run, each.name) for each in fields(Seen)})


def _seen(run: FigureRun, name: str) -> float:
    found = getattr(run.timeline(), name)
    if name in HEIGHTS:
        return found
    return math.inf if found is None else found * run.rate_ratio / 1e6


def main_runs_table() -> str:
    """Events, in millions of the paper's sequences: ours times our rate over the paper's."""
    of_scale = {scale: Runs("coopetition/main").found(scale=scale) for scale in ("paper", "cpu")}
    heads = ["the paper, seed 5", "6", "7"]
    for own in of_scale.values():
        rate = f"{own[0].learning_rate:.0e}".replace("e-0", "e-")
        seeds = [str(run.init_seed) for run in own]
        heads += [f"ours at {rate}, seed {seeds[0]}", *seeds[1:]]
    runs = [run for own in of_scale.values() for run in own]
    seen = [*(PAPER[seed, DATA_SEED] for seed in SEEDS), *map(seen_of, runs)]
    lengths = [f"{run.n_sequences * run.rate_ratio / 1e6:.0f}" for run in runs]
    ends = [f"{run.at('icl', LATE):.2f}, {run.at('flip', LATE):.2f}" for run in runs]
    rows = {
        "sequences in all": [*[THEIR_LENGTH] * len(SEEDS), *lengths],
        **{name: [_cell(each, what) for each in seen] for name, what in ROWS.items()},
        "ICL, Flip accuracy at 20M": [_their_end(), *[""] * (len(SEEDS) - 1), *ends],
    }
    return markdown_table(["", *heads], ([name, *row] for name, row in rows.items()))


def _their_end() -> str:
    """Of seed 5."""
    return ", ".join(f"{SHOWN[name][-1][1]:.2f}" for name in ("icl", "flip"))


def _cell(seen: Seen, names: tuple[str, ...]) -> str:
    values = ((name, getattr(seen, name)) for name in names)
    return " at ".join(
        "not yet" if math.isinf(value) else f"{value:.2f}" if name in HEIGHTS else f"{value:.1f}"
        for name, value in values
    )
