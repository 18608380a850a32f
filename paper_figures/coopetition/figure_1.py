"""Figure 1: in-context learning emerges and is replaced by CIWL.

a: sequences of the evaluators, from the sampler.  b: accuracies during the main run, with what is
read off the paper's figure.  c: what heads attend to on Flip sequences, at Flip's peak and late.
"""

from collections.abc import Callable
from typing import Any

from coopetition.plot.style import COLOURS
from paper_figures.coopetition.events import (
    LATE,
    ciwl_comes,
    emerges,
    event,
    fades,
    height,
    readings,
)
from paper_figures.coopetition.paper_seeds import SEED_5
from paper_figures.coopetition.schematic import circuit_at, draw_circuit, draw_tasks
from paper_figures.core.claims import Claim, Published
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.plotting import draw_evaluators, draw_half, draw_paper, legend_below
from paper_figures.core.runs import FigureRun, KeptTable, Runs, Tables

SHOWN = {  # in the paper's panel b, of its seed 5: millions of sequences, accuracy
    "train": ((3.7, 0.75), (5.8, 0.90), (20, 0.977)),
    "icl": ((3.45, 0.60), (7.8, 0.892), (13.6, 0.60), (20, 0.61)),
    "ciwl": ((6.6, 0.75), (10.7, 0.90), (20, 0.969)),
    "flip": ((3.3, 0.5), (4.3, 0.713), (6.3, 0.5), (8.4, 0.25), (10.9, 0.10), (20, 0.034)),
}


def draw(
    runs: list[FigureRun], labels: list[KeptTable], induction: list[KeptTable]
) -> FigureResult:
    """Panel c where heads were measured."""
    drawing = blank(7.2, 4.6)
    halves: Any = drawing.subfigures(2, 1, height_ratios=(1, 1.1))
    top, bottom = halves
    tasks_axes, *circuit_axes = top.subplots(1, 3, width_ratios=(2, 1, 1))
    numbers = draw_tasks(tasks_axes)
    for ax in circuit_axes:
        ax.set_axis_off()
    if labels and induction:
        told = labels[0].run.timeline()
        late = LATE * 1e6 / labels[0].run.rate_ratio
        moments = (
            ("at Flip's peak", "c  attention at Flip's peak", told.flip_peak_at),
            ("late", "attention late", late),
        )
        for ax, (what, title, when) in zip(circuit_axes, moments, strict=True):
            ax.set_axis_on()
            found = circuit_at(labels[0], induction[0], when)
            numbers += draw_circuit(ax, f"c {what}", title, found)
    ax = bottom.subplots()
    numbers += draw_evaluators(ax, "b", runs)
    ratio = runs[0].rate_ratio
    for name, points in SHOWN.items():
        numbers += draw_paper(ax, "b", name, points, ratio, color=COLOURS[name])
    draw_half(ax)
    ax.set(
        title="b  the main run (the paper's: seed 5)",
        ylabel="in-context accuracy",
        xlim=(0, 1.5 * LATE / ratio),
    )
    legend_below(ax, 5)
    events = [run.finding() for run in runs]
    return FigureResult(drawing, numbers, {"runs": [run.record() for run in runs]}, events)


def _late(evaluator: str) -> Callable[[FigureRun], float]:
    return lambda run: run.at(evaluator, LATE)


def _below(evaluator: str, level: float) -> Callable[[FigureRun], bool | None]:
    """Whether an accuracy is below a level after the paper's 20 million sequences."""
    return lambda run: run.at(evaluator, LATE) < level if run.lasts(LATE) else None


CLAIMS = (
    Claim(
        "ICL emerges: Flip accuracy rises through one half",
        lambda runs, *heads: readings(runs, emerges, event("emergence")),
        Published.at(SEED_5.emergence),
        contradiction="Flip accuracy never rises above one half by 20M",
    ),
    Claim(
        "at its best ICL is preferred: height of Flip's peak",
        lambda runs, *heads: readings(runs, emerges, height("flip_peak")),
        Published.of(SEED_5.flip_peak),
        "it goes by the features: the better they tell classes apart, the higher "
        "([`embed`](trainer.md#features-embed))",
        contradiction="Flip accuracy never rises above one half by 20M",
    ),
    Claim(
        "ICL is transient: Flip accuracy falls through one half",
        lambda runs, *heads: readings(runs, fades, event("fade")),
        Published.at(SEED_5.fade),
        contradiction="Flip accuracy stays above one half until 20M",
    ),
    Claim(
        "at 20M nothing is left of the preference: Flip accuracy",
        lambda runs, *heads: readings(runs, _below("flip", 0.1), _late("flip")),
        Published.of(SHOWN["flip"][-1][1]),
        contradiction="Flip accuracy at 20M is 0.1 or more",
    ),
    Claim(
        "at 20M little is left of the ability: ICL accuracy",
        lambda runs, *heads: readings(runs, _below("icl", 0.7), _late("icl")),
        Published.of(SHOWN["icl"][-1][1], "above chance"),
        contradiction="ICL accuracy at 20M is 0.7 or more",
    ),
    Claim(
        "CIWL takes ICL's place: accuracy of 0.9",
        lambda runs, *heads: readings(runs, ciwl_comes, event("ciwl_90")),
        Published.at(SEED_5.ciwl_90),
        contradiction="CIWL accuracy stays below 0.9 until 23M",
    ),
)

FIGURE = Figure(
    "coopetition",
    "1",
    "1",
    "the task, the main run, and what heads attend to",
    draw,
    needs=(
        Runs("coopetition/main"),
        Tables("label_attention", "coopetition/main", optional=True),
        Tables("induction", "coopetition/main", optional=True),
    ),
    claims=CLAIMS,
)
