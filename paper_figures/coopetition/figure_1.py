"""Figure 1: in-context learning emerges and is replaced by CIWL.

a: sequences of the evaluators, from the sampler.  b: accuracies during the main run, with numbers
read off the paper's figure.  c: attention of heads on Flip sequences, at Flip's peak and late.
"""

from typing import Any

from coopetition.plot.style import COLOURS
from paper_figures.coopetition.events import (
    LATE,
    ciwl_reaches_90,
    emerges,
    event_time,
    fades,
    height_of,
    value_at,
)
from paper_figures.coopetition.paper_values import FIGURE_1B, SEED_5
from paper_figures.core.claims import Claim, Condition, Published, readings
from paper_figures.core.figure import Figure, FigureResult, blank
from paper_figures.core.plotting import (
    SHOWN_EVALUATORS,
    draw_evaluators,
    draw_half,
    draw_published,
    legend_below,
    result_of_runs,
)
from paper_figures.core.runs import FigureRun, KeptTable, Runs


def draw(
    runs: list[FigureRun], labels: list[KeptTable], induction: list[KeptTable]
) -> FigureResult:
    """Draw the panels; c only if heads were measured."""
    from paper_figures.coopetition.schematics import circuit_at, draw_circuit
    from paper_figures.core.sequences import draw_task_sequences
    from transformer.config import DataConfig

    drawing = blank(7.2, 4.6)
    halves: Any = drawing.subfigures(2, 1, height_ratios=(1, 1.1))
    tasks_axes, *circuit_axes = halves[0].subplots(1, 3, width_ratios=(2, 1, 1))
    numbers = draw_task_sequences(tasks_axes, "a", DataConfig(), SHOWN_EVALUATORS, n_exemplars=4)
    for ax in circuit_axes:
        ax.set_axis_off()
    if labels and induction:
        peak = labels[0].run.timeline().flip_peak_at or 0.0
        late = LATE * 1e6 / labels[0].run.rate_ratio
        moments = (
            ("c at Flip's peak", "c  attention at Flip's peak", peak),
            ("c late", "attention late", late),
        )
        for ax, (panel, title, sequences) in zip(circuit_axes, moments, strict=True):
            ax.set_axis_on()
            circuit = circuit_at(labels[0], induction[0], sequences)
            numbers += draw_circuit(ax, panel, title, circuit)
    ax = halves[1].subplots()
    numbers += draw_evaluators(ax, "b", runs)
    ratio = runs[0].rate_ratio
    for name, points in FIGURE_1B.items():
        numbers += draw_published(ax, "b", name, points, ratio, COLOURS[name])
    draw_half(ax)
    title = "b  the main run (crosses: the paper's seed 5)"
    ax.set(title=title, ylabel="in-context accuracy", xlim=(0, 1.5 * LATE / ratio))
    legend_below(ax, 5)
    return result_of_runs(drawing, numbers, runs)


def _is_below(evaluator: str, level: float) -> Condition:
    """Return the condition that an accuracy is below a level at 20 million sequences."""
    return lambda run: run.at(evaluator, LATE) < level if run.lasts(LATE) else None


CLAIMS = (
    Claim(
        "ICL emerges: Flip accuracy rises through one half",
        lambda runs, *heads: readings(runs, emerges, event_time("emergence")),
        Published.at(SEED_5.emergence),
        contradiction="Flip accuracy never rises above one half by 20M",
    ),
    Claim(
        "ICL is preferred at its peak: highest Flip accuracy",
        lambda runs, *heads: readings(runs, emerges, height_of("flip_peak")),
        Published.of(SEED_5.flip_peak),
        "it depends on the features: the better they separate classes, the higher the peak "
        "([`embed`](trainer.md#features-embed))",
        contradiction="Flip accuracy never rises above one half by 20M",
    ),
    Claim(
        "ICL is transient: Flip accuracy falls through one half",
        lambda runs, *heads: readings(runs, fades, event_time("fade")),
        Published.at(SEED_5.fade),
        contradiction="Flip accuracy stays above one half until 20M",
    ),
    Claim(
        "at 20M ICL is no longer preferred: Flip accuracy",
        lambda runs, *heads: readings(runs, _is_below("flip", 0.1), value_at("flip", LATE)),
        Published.of(FIGURE_1B["flip"][-1][1]),
        contradiction="Flip accuracy at 20M is 0.1 or more",
    ),
    Claim(
        "at 20M ICL is mostly lost: ICL accuracy",
        lambda runs, *heads: readings(runs, _is_below("icl", 0.7), value_at("icl", LATE)),
        Published.of(FIGURE_1B["icl"][-1][1], "above chance"),
        contradiction="ICL accuracy at 20M is 0.7 or more",
    ),
    Claim(
        "CIWL replaces ICL: CIWL accuracy reaches 0.9",
        lambda runs, *heads: readings(runs, ciwl_reaches_90, event_time("ciwl_90")),
        Published.at(SEED_5.ciwl_90),
        contradiction="CIWL accuracy stays below 0.9 until 23M",
    ),
)

FIGURE = Figure(
    __name__,
    "the task, the main run, and what heads attend to",
    draw,
    (
        Runs("coopetition/main"),
        Runs("coopetition/main", "label_attention", optional=True),
        Runs("coopetition/main", "induction", optional=True),
    ),
    CLAIMS,
)
