"""Ours: does a tenth of the steps at ten times the learning rate show the same?

The main run at the paper's rate and at ten times it, against the paper's sequences (steps times
rate).  If only their product mattered, curves would lie on each other.
"""

import numpy as np

from coopetition.plot.style import label_of, line_styles
from paper_figures.coopetition.events import LATE, event, readings
from paper_figures.core.claims import FACTOR, Claim, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import EVALUATORS, METRIC, draw_half, legend_of_all, together
from paper_figures.core.runs import FigureRun, Runs

EVENTS = ("emergence", "flip_peak_at", "fade", "ciwl_90")
TITLES = ("emergence", "Flip's peak", "fade", "CIWL 0.9")


def draw(fast: list[FigureRun], slow: list[FigureRun]) -> FigureResult:
    """a: accuracies.  b: times of events at the higher rate over those at the paper's."""
    drawing = blank(7.2, 3.2)
    curves_axes, ratio_axes = drawing.subplots(1, 2, width_ratios=(3, 2))
    numbers: Numbers = []
    styles = line_styles(EVALUATORS)
    for runs, dashes in ((slow, "-"), (fast, "--")):
        rate = runs[0].learning_rate
        for name in EVALUATORS:
            x, rows = together(runs, name)
            x, mean = x * runs[0].rate_ratio, rows.mean(axis=0)
            style = styles[name] | {"linestyle": dashes}
            curve = f"{label_of(name).split()[0]}, {rate:.0e}"
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
    legend_of_all(drawing)
    for k, each in enumerate(EVENTS):
        for seed, ratio in ratios(fast, slow, each).items():
            ratio_axes.plot([k], [ratio], "o", color="black", ms=3)
            numbers.append((f"b {each}", f"seed {seed}", float(k), ratio))
    ratio_axes.axhline(1, color="grey", lw=0.8, ls=":")
    ratio_axes.set_xticks(range(len(TITLES)), TITLES, rotation=20)
    ratio_axes.set(title="b  time at the higher rate over that at 1e-5", yscale="log")
    ratio_axes.set_yticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
    ratio_axes.minorticks_off()
    findings = [
        f"{title}: at ten times the rate at {np.mean([*ratios(fast, slow, each).values()]):.2f} of "
        "its time at the paper's, in steps x rate"
        for each, title in zip(EVENTS, TITLES, strict=True)
        if ratios(fast, slow, each)
    ]
    runs = [*slow, *fast]
    return FigureResult(drawing, numbers, {"runs": [run.record() for run in runs]}, findings)


def ratios(fast: list[FigureRun], slow: list[FigureRun], name: str) -> dict[int, float]:
    """Time of an event (steps x rate) at the higher rate over that at the lower, by initial seed;
    of seeds that have it at both.
    """
    of_fast, of_slow = ({run.init_seed: event(name)(run) for run in runs} for runs in (fast, slow))
    return {
        seed: time / other
        for seed, time in of_fast.items()
        if time is not None and (other := of_slow.get(seed)) is not None
    }


def _alike(fast: list[FigureRun], slow: list[FigureRun], name: str) -> list[Reading]:
    """Whether an event comes at the same time, within `FACTOR`, of seeds run at both rates; a seed
    that does not have it at both tells nothing.
    """
    found = ratios(fast, slow, name)
    alike = {seed: 1 / FACTOR <= ratio <= FACTOR for seed, ratio in found.items()}
    both = {run.init_seed for run in slow}
    return readings(
        [run for run in fast if run.init_seed in both], lambda run: alike.get(run.init_seed)
    )


CLAIMS = tuple(
    Claim(
        f"{title} comes at the same number of steps x rate at 1e-4 as at 1e-5",
        lambda fast, slow, name=name: _alike(fast, slow, name),
        ours=True,
        contradiction="their times in steps x rate differ by more than a factor 1.5",
    )
    for name, title in zip(EVENTS, TITLES, strict=True)
)

FIGURE = Figure(
    "coopetition",
    "rates",
    "ours: rates",
    "the main run at two learning rates, by steps times rate",
    draw,
    needs=(Runs("coopetition/main", scale="cpu"), Runs("coopetition/main", scale="paper")),
    claims=CLAIMS,
)
