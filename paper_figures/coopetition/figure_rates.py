"""Ours: the main run at the paper's learning rate and at ten times it.

Curves are against the paper's sequences (steps times rate).  If only this product mattered, they
would coincide.
"""

import numpy as np

from coopetition.plot.style import label_of, line_styles
from paper_figures.coopetition.events import EVENT_TITLES, LATE, event_time
from paper_figures.core.claims import FACTOR, Claim, Reading, readings
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import (
    SHOWN_EVALUATORS,
    common_curves,
    draw_half,
    result_of_runs,
    shared_legend,
)
from paper_figures.core.runs import METRIC, FigureRun, Runs

COMPARED = ("emergence", "flip_peak_at", "fade", "ciwl_90")


def draw(fast: list[FigureRun], slow: list[FigureRun]) -> FigureResult:
    """Draw accuracies (a), and times at the higher rate over those at the paper's (b)."""
    drawing = blank(7.2, 3.2)
    curves_axes, ratio_axes = drawing.subplots(1, 2, width_ratios=(3, 2))
    numbers: Numbers = []
    styles = line_styles(SHOWN_EVALUATORS)
    for runs, dashes in ((slow, "-"), (fast, "--")):
        for name in SHOWN_EVALUATORS:
            x, rows = common_curves(runs, name)
            x, mean = x * runs[0].rate_ratio, rows.mean(axis=0)
            style = styles[name] | {"linestyle": dashes}
            curve = f"{label_of(name).split()[0]}, {runs[0].learning_rate:.0e}"
            curves_axes.plot(x / 1e6, mean, label=f"{curve} (n = {len(runs)})", **style)
            numbers += points(f"a {METRIC}", curve, x, mean)
    draw_half(curves_axes)
    curves_axes.set(
        title="a  the same number of steps x rate",
        xlabel="sequences x rate / 1e-5 (millions)",
        ylabel="in-context accuracy",
        xlim=(0, LATE),
        ylim=(0, 1.02),
    )
    shared_legend(drawing)
    findings = []
    for k, event in enumerate(COMPARED):
        of_seeds = time_ratios(fast, slow, event)
        for seed, ratio in of_seeds.items():
            ratio_axes.plot([k], [ratio], "o", color="black", ms=3)
            numbers.append((f"b {event}", f"seed {seed}", float(k), ratio))
        if of_seeds:
            mean = np.mean([*of_seeds.values()])
            findings.append(
                f"{EVENT_TITLES[event]}: at ten times the rate it comes at {mean:.2f} of its time "
                "at the paper's rate, in steps x rate"
            )
    ratio_axes.axhline(1, color="grey", lw=0.8, ls=":")
    titles = [EVENT_TITLES[event] for event in COMPARED]
    ratio_axes.set_xticks(range(len(titles)), titles, rotation=20)
    ratio_axes.set(title="b  time at the higher rate over that at 1e-5", yscale="log")
    ratio_axes.set_yticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
    ratio_axes.minorticks_off()
    return result_of_runs(drawing, numbers, [*slow, *fast], findings)


def time_ratios(fast: list[FigureRun], slow: list[FigureRun], event: str) -> dict[int, float]:
    """Return an event's time (steps x rate) at the higher rate over that at the lower, by seed.

    Only initial seeds for which the event happens at both rates.
    """
    time = event_time(event)
    of_fast, of_slow = ({run.init_seed: time(run) for run in runs} for runs in (fast, slow))
    return {
        seed: own / other
        for seed, own in of_fast.items()
        if own is not None and (other := of_slow.get(seed)) is not None
    }


def _is_alike(fast: list[FigureRun], slow: list[FigureRun], event: str) -> list[Reading]:
    """Return whether an event comes at the same time, within `FACTOR`, with seeds of both rates."""
    ratios = time_ratios(fast, slow, event)
    alike = {seed: 1 / FACTOR <= ratio <= FACTOR for seed, ratio in ratios.items()}
    both = {run.init_seed for run in slow}
    runs = [run for run in fast if run.init_seed in both]
    return readings(runs, lambda run: alike.get(run.init_seed))


CLAIMS = tuple(
    Claim(
        f"{EVENT_TITLES[event]}: steps x learning rate is the same at 1e-4 and at 1e-5",
        lambda fast, slow, event=event: _is_alike(fast, slow, event),
        ours=True,
        contradiction="steps x learning rate differs by more than a factor of 1.5",
    )
    for event in COMPARED
)

FIGURE = Figure(
    __name__,
    "the main run at two learning rates, by steps times rate",
    draw,
    (Runs("coopetition/main", scale="cpu"), Runs("coopetition/main", scale="paper")),
    CLAIMS,
    "ours: rates",
)
