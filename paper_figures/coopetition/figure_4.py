"""Figure 4: does training on CIWL help ICL?  Clamped second halves, and early starts.

a: ICL-only data, alone and with the second half of the main run at 20 million.  b: ICL-only data
with the second half of a CIWL-only run's checkpoints.  c: ordinary data from checkpoints of a
CIWL-only run.  The paper's losses and peaks are read off its figure.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from coopetition.plot.fits import SEQUENCES
from coopetition.plot.style import graded_styles, line_styles
from paper_figures.coopetition.events import (
    has_event,
    has_happened,
    has_not_happened,
    height_of,
    icl_loss_below_chance,
    lacks_event,
)
from paper_figures.core.claims import FACTOR, Claim, Condition, Published, readings
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import (
    draw_band,
    draw_groups,
    draw_half,
    draw_published,
    legend_below,
    result_of_runs,
)
from paper_figures.core.runs import FigureRun, Runs, by_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALONE, CLAMPED = "ICL alone", "second half: main at 20M"
PAPER = {  # millions of sequences, ICL's loss
    ALONE: ((7, 1.79), (10, 1.06), (30, 0.85), (60, 0.85), (64, 0.79)),
    CLAMPED: ((1, 2.52), (2, 0.96), (2.5, 0.693), (5, 0.27), (10, 0.17), (64, 0.09)),
}
PEAKS: dict[float, tuple[float, float]] = {  # of Flip, by the start
    4: (9, 0.885),
    5: (9, 0.87),
    6: (9, 0.76),
    7: (8.3, 0.44),
}
RISES = 8.0  # millions after a start by which Flip rises, if it does
PLATEAU = 30.0  # millions by which a run on ICL alone is on its plateau, if it stays there

Started = list[FigureRun]  # from checkpoints of CIWL-only runs, whose times are their numbers


def draw(
    alone: list[FigureRun],
    clamped: list[FigureRun],
    ciwl: list[FigureRun],
    grafted: Started,
    resumed: Started,
) -> FigureResult:
    """Draw losses of ICL (a, b) and Flip accuracies (c)."""
    drawing = blank(7.2, 3.4)
    alone_axes, grafted_axes, resumed_axes = drawing.subplots(1, 3)
    groups = {ALONE: alone, CLAMPED: clamped}
    numbers = draw_groups(alone_axes, "a", groups, "icl", metric="loss")
    for name, style in line_styles(name for name, runs in groups.items() if runs).items():
        ratio = alone[0].rate_ratio
        numbers += draw_published(alone_axes, "a", name, PAPER[name], ratio, style["color"])
    alone_axes.set(title="a  ICL-only data")
    by_start = {f"{at:g}M": runs for at, runs in by_number(grafted).items()}
    shades = graded_styles(by_start)
    numbers += draw_groups(grafted_axes, "b", by_start, "icl", metric="loss", styles=shades)
    grafted_axes.set(title="b  second half of CIWL-only" if grafted else "b  no run yet")
    for ax in (alone_axes, grafted_axes):
        ax.axhline(math.log(2), color="grey", lw=0.8, ls=":")
        ax.set(ylabel="loss on ICL (nats)", ylim=(0, 3))
    numbers += _draw_resumed(resumed_axes, ciwl, resumed, alone[0].rate_ratio)
    legend_below(alone_axes, 1)  # the axes count our own sequences, names of starts the paper's
    legend_below(grafted_axes, 2, "taken at (the paper's sequences)")
    legend_below(resumed_axes, 2, "start at (the paper's sequences)")
    runs = [*alone, *clamped, *ciwl, *grafted, *resumed]
    return result_of_runs(drawing, numbers, runs, findings=[])


def _draw_resumed(
    ax: "Axes", ciwl: list[FigureRun], resumed: Started, rate_ratio: float
) -> Numbers:
    numbers = draw_band(ax, "c", "CIWL-only", ciwl, "flip", color="grey") if ciwl else []
    by_start, last = by_number(resumed), 1e6
    shades = graded_styles(map(str, by_start)).values()
    for (at, runs), style in zip(by_start.items(), shades, strict=True):
        name, before = f"from {at:g}M", runs[0].started_at
        numbers += draw_band(ax, "c", name, runs, "flip", before=before, **style)
        if at in PEAKS:
            numbers += draw_published(ax, "c", name, [PEAKS[at]], rate_ratio, style["color"])
        last = max(last, before + runs[0].n_sequences)
    draw_half(ax)
    title = "c  ordinary data" if resumed else "c  no run yet"
    ax.set(title=title, xlabel=SEQUENCES, ylabel="Flip accuracy", ylim=(0, 1), xlim=(0, last / 1e6))
    return numbers


def learns_sooner(alone: Sequence[FigureRun]) -> Condition:
    """Return the condition that ICL is learnt `FACTOR` times sooner than alone.

    In our runs ICL is learnt alone too, so learning it with help says nothing by itself.  The
    condition is None without a run alone of the same seeds, and if one of both is too short.
    """
    by_seeds = {run.seeds: run for run in alone}

    def holds(run: FigureRun) -> bool | None:
        run_alone, time = by_seeds.get(run.seeds), icl_loss_below_chance(run)
        if run_alone is None:
            return None
        if time is None:
            return has_happened(False, run, PLATEAU)
        time_alone = icl_loss_below_chance(run_alone)
        if time_alone is None:
            return True if run_alone.lasts(FACTOR * time / 1e6) else None
        return FACTOR * time <= time_alone

    return holds


def does_not_learn(run: FigureRun) -> bool | None:
    """Return whether ICL's loss never falls below ln 2."""
    return has_not_happened(icl_loss_below_chance(run) is not None, run, PLATEAU)


def _between(started: Started, first: float, last: float) -> list[FigureRun]:
    """Return the runs that start from so many millions."""
    return [run for run in started if first <= run.number <= last]


CLAIMS = (
    Claim(
        "ICL alone stays on its plateau: its loss never falls below ln 2",
        lambda alone, *rest: readings(
            alone, does_not_learn, lambda run: float(run.curves("loss").values["icl"][-1])
        ),
        Published(0.79, 0.85, "nats"),
        "in our runs CIWL speeds up ICL, but ICL does not need it",
        contradiction="ICL's loss falls below ln 2",
    ),
    Claim(
        "with the second half of the main run at 20M, ICL is learnt sooner than alone: its loss "
        "falls below ln 2",
        lambda alone, clamped, *rest: readings(
            clamped, learns_sooner(alone), icl_loss_below_chance
        ),
        Published.at(2.5),
        contradiction="ICL is not learnt by 30M, or less than 1.5 times as fast as alone with the "
        "same seeds",
    ),
    Claim(
        "with the second half of a CIWL-only run at 9.8M to 31.5M, ICL is learnt sooner than alone",
        lambda alone, clamped, ciwl, grafted, resumed: readings(
            _between(grafted, 9.8, 31.5), learns_sooner(alone)
        ),
        needed=1,
        contradiction="with one of these checkpoints ICL is not learnt by 30M, or less than "
        "1.5 times as fast as alone",
    ),
    Claim(
        "with the second half of a CIWL-only run before 9.8M, ICL is not learnt",
        lambda alone, clamped, ciwl, grafted, resumed: readings(
            _between(grafted, 0, 9.79), does_not_learn
        ),
        needed=1,
        contradiction="with one of these checkpoints ICL's loss falls below ln 2",
    ),
    Claim(
        "with the second half of a CIWL-only run at 32M or later, ICL is not learnt: the window "
        "closes",
        lambda alone, clamped, ciwl, grafted, resumed: readings(
            _between(grafted, 32, 64), does_not_learn
        ),
        needed=1,
        explanation="in our runs a late circuit is no obstacle: the later the checkpoint, the "
        "sooner ICL is learnt. ICL is learnt alone, too",
        contradiction="with one of these checkpoints ICL's loss falls below ln 2",
    ),
    *(
        Claim(
            f"in ordinary training from a CIWL-only run at {at}M, ICL still becomes preferred: "
            "highest Flip accuracy",
            lambda alone, clamped, ciwl, grafted, resumed, at=at: readings(
                _between(resumed, at, at), has_event("emergence", RISES), height_of("flip_peak")
            ),
            Published.of(PEAKS[at][1]),
            contradiction="Flip accuracy stays below one half for 8M after the start",
        )
        for at in (4, 5, 6)
    ),
    Claim(
        "in ordinary training from a CIWL-only run at 7M or later, ICL does not become preferred",
        lambda alone, clamped, ciwl, grafted, resumed: readings(
            _between(resumed, 7, 16), lacks_event("emergence", RISES)
        ),
        needed=1,
        contradiction="from one of these checkpoints Flip accuracy rises above one half",
    ),
)

FIGURE = Figure(
    __name__,
    "what training on CIWL does for ICL: clamped second halves, and early starts",
    draw,
    (
        Runs("coopetition/icl_only"),
        *(
            Runs(f"coopetition/{name}", optional=True)
            for name in ("icl_only_clamped", "ciwl_only", "grafted_*", "resumed_*")
        ),
    ),
    CLAIMS,
)
