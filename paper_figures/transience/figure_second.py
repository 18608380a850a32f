"""Ours: what the coopetition paper adds, asked of this paper's task.

Is the end state CIWL here too?  Do matched exemplars keep ICL?  Does the fade go by sequences when
the batch is four times as large?
"""

import math

from paper_figures.core.claims import FACTOR, Claim, Reading, readings
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import draw_evaluators, legend_below
from paper_figures.core.runs import FigureRun
from paper_figures.transience.panels import CIWL, FLIP, ICL, Groups, draw_panel, result_of
from paper_figures.transience.rules import (
    final_mean,
    icl_events,
    judge_kept,
)
from paper_figures.transience.sweep import needs_of
from transformer.experiments.transience import BATCH_FACTOR

UNKNOWN = (1e-9, math.inf)  # half-decay, in sequences


def draw(
    control: list[FigureRun], matched: list[FigureRun], large_batch: list[FigureRun]
) -> FigureResult:
    """Draw all strategies of the default run, ICL on matched data, and ICL by batch size."""
    drawing = blank(9.6, 2.8)
    first, *others = drawing.subplots(1, 3)
    numbers: Numbers = draw_evaluators(first, "a", control)
    first.set(title="a  default run, over the labels in context", ylabel="accuracy")
    of_panels: dict[str, Groups] = {
        "matched data": {"default": control, "matched": matched},
        "batch size": {"default": control, f"{BATCH_FACTOR} times the batch": large_batch},
    }
    for letter, ax, (name, groups) in zip("bc", others, of_panels.items(), strict=True):
        numbers += draw_panel(ax, letter, ICL, groups)
        ax.set(title=f"{letter}  {ICL.title}: {name}")
    for ax in drawing.axes:
        legend_below(ax)
    groups = {"default": control, "matched": matched, "large batch": large_batch}
    return result_of(drawing, numbers, groups)


final_ciwl, final_flip = final_mean(*CIWL[1:]), final_mean(*FLIP[1:])


def _fades_by_sequences(control: list[FigureRun], large: list[FigureRun]) -> list[Reading]:
    """Return, for each seed, whether half-decays in sequences agree within `FACTOR`."""
    by_seed = {run.seeds: _half_decay_range(run) for run in control}
    readings = []
    for run in large:
        low, high = _half_decay_range(run)
        other_low, other_high = by_seed.get(run.seeds, UNKNOWN)
        least, most = low / other_high, high / other_low
        is_outside = least > FACTOR or most < 1 / FACTOR
        holds = False if is_outside else True if least == most else None
        readings.append(Reading.of(run, holds, least if least == most else None))
    return readings


def _half_decay_range(run: FigureRun) -> tuple[float, float]:
    """Return the earliest and the latest half-decay that a run allows.

    It is after the run if ICL stays, and unknown if ICL never rose.
    """
    events = icl_events(run)
    if events.fate == "never rose":
        return UNKNOWN
    if events.fate == "stays" or events.half_decay is None:
        return events.horizon, math.inf
    return events.half_decay, events.half_decay


CLAIMS = (
    Claim(
        "what replaces ICL is CIWL: at the end CIWL accuracy is 0.75 or more, and Flip accuracy "
        "below one half",
        lambda control, *others: readings(
            control, lambda run: final_ciwl(run) >= 0.75 and final_flip(run) < 0.5, final_ciwl
        ),
        contradiction="CIWL accuracy is below 0.75, or Flip accuracy one half or more",
        ours=True,
    ),
    Claim(
        "matched exemplars keep ICL, as in the other task",
        lambda control, matched, large: judge_kept(matched, control),
        contradiction="ICL falls to half its peak, or never rises",
        ours=True,
    ),
    Claim(
        f"with a batch {BATCH_FACTOR} times as large, ICL fades after as many sequences",
        lambda control, matched, large: _fades_by_sequences(control, large),
        contradiction="half-decays in sequences differ by more than a factor 1.5",
        ours=True,
    ),
)

FIGURE = Figure(
    __name__,
    "what the coopetition paper adds: CIWL, matched data, batch size",
    draw,
    needs_of("matched", "large_batch"),
    CLAIMS,
    "ours: second paper",
)
