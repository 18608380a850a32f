"""Ours: what the coopetition paper adds, asked of this paper's task.

Is the end state CIWL here too?  Do matched exemplars keep ICL?  Does the fade go by sequences when
the batch is four times as large?
"""

from paper_figures.core.claims import Claim, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import draw_evaluators, legend_below
from paper_figures.core.runs import METRIC, FigureRun, Runs
from paper_figures.transience.panels import ICL, Groups, draw_panel, result_of
from paper_figures.transience.rules import icl_events, kept, last
from transformer.experiments.transience import BATCH_FACTOR

FACTOR = 1.5  # within which two times are alike, as for published times


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


def _ends_in_ciwl(run: FigureRun) -> Reading:
    """Return whether CIWL is learned at the end, and preferred to ICL."""
    ciwl, flip = (last(name, METRIC)(run) for name in ("ciwl", "flip"))
    return Reading.of(run, ciwl >= 0.75 and flip < 0.5, ciwl)


def _fades_by_sequences(control: list[FigureRun], large: list[FigureRun]) -> list[Reading]:
    """Return, for each seed, whether half-decays in sequences agree within `FACTOR`."""
    by_seed = {run.seeds: icl_events(run).half_decay for run in control}
    readings = []
    for run in large:
        own, other = icl_events(run).half_decay, by_seed.get(run.seeds)
        ratio = own / other if own is not None and other is not None else None
        holds = None if ratio is None else 1 / FACTOR <= ratio <= FACTOR
        readings.append(Reading.of(run, holds, ratio))
    return readings


CLAIMS = (
    Claim(
        "what replaces ICL is CIWL: at the end CIWL accuracy is 0.75 or more, and Flip accuracy "
        "below one half",
        lambda control, *others: [_ends_in_ciwl(run) for run in control],
        contradiction="CIWL accuracy is below 0.75, or Flip accuracy one half or more",
        ours=True,
    ),
    Claim(
        "matched exemplars keep ICL, as in the other task",
        lambda control, matched, large: kept(matched, control),
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
    (
        Runs("transience/default"),
        Runs("transience/matched", optional=True),
        Runs("transience/large_batch", optional=True),
    ),
    CLAIMS,
    "ours: second paper",
)
