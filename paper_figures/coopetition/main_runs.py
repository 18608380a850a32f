"""Our main runs beside the paper's, for the README."""

from collections.abc import Callable

from paper_figures.coopetition import figure_7
from paper_figures.coopetition.events import event, height
from paper_figures.needs import Runs
from paper_figures.sources import FigureRun
from transformer.experiments.coopetition import DATA_SEED, SEEDS

FLIP = [figure_7.PAPER[seed, DATA_SEED] for seed in SEEDS]
PAPER = {  # by initial seed, read off figure 7; times in millions of sequences
    "sequences in all": ("64", "64", "64"),
    "emergence (Flip rises through 0.5)": ("3.3", "4.5", "3.2"),
    "Flip peak": tuple(f"{peak:.2f} at {at:.1f}" for at, peak, _ in FLIP),
    "fade (Flip falls through 0.5)": tuple(f"{fade:.1f}" for *_, fade in FLIP),
    "Flip falls through 0.1": ("11.0", "15.3", "17.5"),
    "ICL peak": ("0.88 at 7.8", "0.90 at 8.0", "0.91 at 9.0"),
    "CIWL accuracy reaches 0.75": ("6.7", "9.4", "9.7"),
    "CIWL accuracy reaches 0.9": ("10.7", "14.4", "15.5"),
    "ICL, Flip accuracy at 20M": ("0.61, 0.03", "", ""),
}


def main_runs_table() -> str:
    """Events, in millions of the paper's sequences: ours times our rate over the paper's."""
    of_scale = {scale: Runs("coopetition/main").found(scale=scale) for scale in ("paper", "cpu")}
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
    def cell(run: FigureRun) -> str:
        sequences = event(name)(run)
        return "not yet" if sequences is None else f"{sequences / 1e6:.1f}"

    return cell


def _peak(name: str) -> Callable[[FigureRun], str]:
    return lambda run: f"{height(name)(run):.2f} at {_time(f'{name}_at')(run)}"


CELLS: dict[str, Callable[[FigureRun], str]] = dict(
    zip(
        PAPER,
        (
            lambda run: f"{run.n_sequences * run.rate_ratio / 1e6:.0f}",
            _time("emergence"),
            _peak("flip_peak"),
            _time("fade"),
            _time("flip_10"),
            _peak("icl_peak"),
            _time("ciwl_75"),
            _time("ciwl_90"),
            lambda run: f"{run.at('icl', 20):.2f}, {run.at('flip', 20):.2f}",
        ),
        strict=True,
    )
)
