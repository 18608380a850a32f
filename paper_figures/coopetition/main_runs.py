"""Our main runs beside the paper's, for the README."""

from collections.abc import Callable

from paper_figures.coopetition.figure_7 import seeds_of
from paper_figures.needs import Runs
from paper_figures.sources import FigureRun
from transformer.experiments.coopetition import DATA_SEED
from transformer.measures.timeline import Timeline

PAPER = {  # by initial seed, read off figure 7; times in millions of sequences
    "sequences in all": ("64", "64", "64"),
    "emergence (Flip rises through 0.5)": ("3.3", "4.5", "3.2"),
    "Flip peak": ("0.71 at 4.3", "0.78 at 6.5", "0.84 at 5.3"),
    "fade (Flip falls through 0.5)": ("6.3", "10.0", "10.9"),
    "Flip falls through 0.1": ("11.0", "15.3", "17.5"),
    "ICL peak": ("0.88 at 7.8", "0.90 at 8.0", "0.91 at 9.0"),
    "CIWL accuracy reaches 0.75": ("6.7", "9.4", "9.7"),
    "CIWL accuracy reaches 0.9": ("10.7", "14.4", "15.5"),
    "ICL, Flip accuracy at 20M": ("0.61, 0.03", "", ""),
}


def main_runs_table() -> str:
    """Events, in millions of the paper's sequences: ours times our rate over the paper's."""
    of_scale = {
        scale: [
            run
            for run in Runs("coopetition/main").found(scale=scale)
            if seeds_of(run)[1] == DATA_SEED
        ]
        for scale in ("paper", "cpu")
    }
    heads = ["the paper, seed 5", "6", "7"]
    for own in of_scale.values():
        rate = f"{own[0].learning_rate:.0e}".replace("e-0", "e-")
        seeds = [str(run.init_seed) for run in own]
        heads += [f"ours at {rate}, seed {seeds[0]}", *seeds[1:]]
    runs = [run for own in of_scale.values() for run in own]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    lines += [
        f"| {name} | {' | '.join((*PAPER[name], *(cell(run) for run in runs)))} |"
        for name, cell in CELLS.items()
    ]
    return "\n".join(lines)


def _time(name: str) -> Callable[[FigureRun], str]:
    return lambda run: _millions(getattr(run.timeline(), name), run)


def _millions(sequences: float | None, run: FigureRun) -> str:
    return "not yet" if sequences is None else f"{sequences * run.rate_ratio / 1e6:.1f}"


def _peak(height: str, at: str) -> Callable[[FigureRun], str]:
    def cell(run: FigureRun) -> str:
        told: Timeline = run.timeline()
        return f"{getattr(told, height):.2f} at {_millions(getattr(told, at), run)}"

    return cell


CELLS: dict[str, Callable[[FigureRun], str]] = dict(
    zip(
        PAPER,
        (
            lambda run: f"{run.n_sequences * run.rate_ratio / 1e6:.0f}",
            _time("emergence"),
            _peak("flip_peak", "flip_peak_at"),
            _time("fade"),
            _time("flip_10"),
            _peak("icl_peak", "icl_peak_at"),
            _time("ciwl_75"),
            _time("ciwl_90"),
            lambda run: f"{run.at('icl', 20):.2f}, {run.at('flip', 20):.2f}",
        ),
        strict=True,
    )
)
