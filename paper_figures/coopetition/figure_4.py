"""Figure 4: does training on CIWL help ICL?  Clamped second halves, and early starts.

a: ICL-only data, alone and with the second half of the main run at 20 million.  b: ICL-only data
with the second half of a CIWL-only run's checkpoints.  c: ordinary data from checkpoints of a
CIWL-only run.  Read off the paper's figure: loss where it is told, and peaks.
"""

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from coopetition.dynamics.events import crossing_time
from coopetition.plot.fits import SEQUENCES
from coopetition.plot.style import graded_styles, line_styles
from paper_figures.coopetition.events import (
    happened_by,
    happens,
    height,
    never,
    not_by,
    readings,
)
from paper_figures.core.claims import FACTOR, Claim, Published
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.plotting import draw_band, draw_groups, draw_half, draw_paper, legend_below
from paper_figures.core.runs import FigureRun, Runs
from transformer.experiments.coopetition import GRAFTED_AT, RESUMED_AT

CHANCE = math.log(2)  # loss of who knows which two labels may be right, and not which
OF_PAPER = "(the paper's sequences)"  # legends name steps so; the axes count our own
ALONE, CLAMPED = "ICL alone", "second half: main at 20M"
PAPER = {  # millions of sequences, ICL's loss
    ALONE: ((7, 1.79), (10, 1.06), (30, 0.85), (60, 0.85), (64, 0.79)),
    CLAMPED: ((1, 2.52), (2, 0.96), (2.5, 0.693), (5, 0.27), (10, 0.17), (64, 0.09)),
}
PEAKS = {4: (9, 0.885), 5: (9, 0.87), 6: (9, 0.76), 7: (8.3, 0.44)}  # of Flip, by the start
WINDOW = (9.8, 31.5)  # from which the paper's grafts learn
RISES = 8.0  # millions after a start by which Flip has risen, or does not
PLATEAU = 30.0  # millions by which a run on ICL alone is where it stays, or not

Groups = list[list[FigureRun]]


def draw(alone: list[FigureRun], clamped: list[FigureRun], ciwl: list[FigureRun],
         *started: list[FigureRun]) -> FigureResult:  # fmt: skip
    """Losses of ICL (a, b) and Flip accuracies (c)."""
    grafted, resumed = split(*started)
    drawing = blank(7.2, 3.4)
    alone_axes, grafted_axes, resumed_axes = drawing.subplots(1, 3)
    ratio = alone[0].rate_ratio
    groups = {ALONE: alone, CLAMPED: clamped}
    numbers = draw_groups(alone_axes, "a", groups, "icl", metric="loss")
    for name, style in line_styles(name for name, runs in groups.items() if runs).items():
        numbers += draw_paper(alone_axes, "a", name, PAPER[name], ratio, color=style["color"])
    alone_axes.set(title="a  ICL-only data")
    labels = {f"{at:g}M": runs for at, runs in zip(GRAFTED_AT, grafted, strict=True) if runs}
    shades = graded_styles(labels)
    numbers += draw_groups(grafted_axes, "b", labels, "icl", metric="loss", styles=shades)
    grafted_axes.set(title="b  second half of CIWL-only" if labels else "b  no run yet")
    for ax in (alone_axes, grafted_axes):
        ax.axhline(CHANCE, color="grey", lw=0.8, ls=":")
        ax.set(ylabel="loss on ICL (nats)", ylim=(0, 3))
    numbers += _draw_resumed(resumed_axes, ciwl, resumed, ratio)
    legend_below(alone_axes, 1)
    legend_below(grafted_axes, 2, "taken at " + OF_PAPER)
    legend_below(resumed_axes, 2, "start at " + OF_PAPER)
    runs = [*alone, *clamped, *ciwl, *(run for group in started for run in group)]
    findings = [f"{run.name}: loss {_told(learnt(run))}" for run in runs
                if run.name.split("/")[1].startswith(("icl", "grafted"))]  # fmt: skip
    findings += [f"{run.name}: Flip at most {run.timeline().flip_peak:.2f}"
                 for group in resumed for run in group]  # fmt: skip
    return FigureResult(drawing, numbers, {"runs": [run.record() for run in runs]}, findings)


def split(*started: list[FigureRun]) -> tuple[Groups, Groups]:
    """Grafted runs, and resumed ones, by where they start."""
    return list(started[: len(GRAFTED_AT)]), list(started[len(GRAFTED_AT) :])


def _draw_resumed(ax: Axes, ciwl: list[FigureRun], resumed: Groups, rate_ratio: float) -> Numbers:
    numbers = draw_band(ax, "c", "CIWL-only", ciwl, "flip", color="grey") if ciwl else []
    groups = {at: runs for at, runs in zip(RESUMED_AT, resumed, strict=True) if runs}
    shades = graded_styles(map(str, groups)).values()
    for (at, runs), style in zip(groups.items(), shades, strict=True):
        name = f"from {at:g}M"
        numbers += draw_band(ax, "c", name, runs, "flip", before=runs[0].started_at, **style)
        if at in PEAKS:
            numbers += draw_paper(ax, "c", name, [PEAKS[at]], rate_ratio, color=style["color"])
    draw_half(ax)
    ends = [runs[0].started_at + runs[0].n_sequences for runs in groups.values()]
    last = max(ends, default=1e6)
    ax.set(
        title="c  ordinary data" if groups else "c  no run yet",
        xlabel=SEQUENCES,
        ylabel="Flip accuracy",
        ylim=(0, 1),
    )
    ax.set(xlim=(0, last / 1e6))
    return numbers


def learnt(run: FigureRun) -> float | None:
    """When ICL's loss first falls below ln 2, in the paper's sequences; None if it does not."""
    losses = run.curves("loss")
    found = crossing_time(losses.sequences, losses.values["icl"], CHANCE, rising=False)
    return None if found is None else found * run.rate_ratio


def _told(sequences: float | None) -> str:
    if sequences is None:
        return "never below ln 2"
    return f"first below ln 2 at {sequences / 1e6:.3g}M of the paper's"


def learns_sooner(alone: Sequence[FigureRun]) -> Callable[[FigureRun], bool | None]:
    """Return whether ICL is learnt, at least `FACTOR` times sooner than alone with the same seeds.

    In ours ICL is learnt alone too, so that it is learnt with help says nothing by itself.  None
    without a run alone of these seeds, and where one of both is too short.
    """
    by_seeds = {run.seeds: run for run in alone}

    def holds(run: FigureRun) -> bool | None:
        beside, time = by_seeds.get(run.seeds), learnt(run)
        if beside is None:
            return None
        if time is None:
            return happened_by(False, run, PLATEAU)
        other = learnt(beside)
        if other is None:
            return True if beside.lasts(FACTOR * time / 1e6) else None
        return FACTOR * time <= other

    return holds


def does_not_learn(run: FigureRun) -> bool | None:
    """The opposite."""
    return not_by(learnt(run) is not None, run, PLATEAU)


def _between(starts: Sequence[float], groups: Groups, first: float, last: float) -> list[FigureRun]:
    """The runs of groups that start from so many millions."""
    pairs = zip(starts, groups, strict=True)
    return [run for at, runs in pairs if first <= at <= last for run in runs]


def _grafts(started: Sequence[list[FigureRun]], first: float, last: float) -> list[FigureRun]:
    return _between(GRAFTED_AT, split(*started)[0], first, last)


def _resumed(started: Sequence[list[FigureRun]], first: float, last: float) -> list[FigureRun]:
    return _between(RESUMED_AT, split(*started)[1], first, last)


def _ends_high(run: FigureRun) -> float:
    return float(run.curves("loss").values["icl"][-1])


CLAIMS = (
    Claim(
        "ICL alone stays on its plateau: its loss never falls below ln 2",
        lambda alone, *rest: readings(alone, does_not_learn, _ends_high),
        Published(0.79, 0.85, "nats"),
        "in our runs CIWL hastens ICL, and is not needed for it",
        contradiction="its loss falls below ln 2",
    ),
    Claim(
        "with the second half of the main run at 20M ICL is learnt, and sooner than alone: loss "
        "below ln 2",
        lambda alone, clamped, *rest: readings(clamped, learns_sooner(alone), learnt),
        Published.at(2.5),
        contradiction="ICL is not learnt by 30M, or less than 1.5 times sooner than alone "
        "with the same seeds",
    ),
    Claim(
        "with the second half of CIWL-only at 9.8M to 31.5M ICL is learnt, and sooner than alone",
        lambda alone, clamped, ciwl, *started: readings(
            _grafts(started, *WINDOW), learns_sooner(alone)
        ),
        needed=1,
        contradiction="from one of these checkpoints ICL is not learnt by 30M, or less than "
        "1.5 times sooner than alone",
    ),
    Claim(
        "with the second half of CIWL-only before 9.8M ICL is not learnt",
        lambda alone, clamped, ciwl, *started: readings(_grafts(started, 0, 9.79), does_not_learn),
        needed=1,
        contradiction="from one of these checkpoints the loss falls below ln 2",
    ),
    Claim(
        "with the second half of CIWL-only from 32M on ICL is not learnt: the window closes",
        lambda alone, clamped, ciwl, *started: readings(_grafts(started, 32, 64), does_not_learn),
        needed=1,
        explained="the late circuit is no obstacle here: the later the graft, the sooner ICL is "
        "learnt, and alone it is learnt too",
        contradiction="from one of these checkpoints the loss falls below ln 2",
    ),
    *(
        Claim(
            f"in ordinary training from CIWL-only at {at}M ICL still comes to be preferred",
            lambda alone, clamped, ciwl, *started, at=at: readings(
                _resumed(started, at, at), happens("emergence", RISES), height("flip_peak")
            ),
            Published.of(peak),
            contradiction="Flip accuracy stays below one half for 8M after the start",
        )
        for at, (_, peak) in [(at, PEAKS[at]) for at in (4, 5, 6)]
    ),
    Claim(
        "in ordinary training from CIWL-only at 7M or later ICL does not come to be preferred",
        lambda alone, clamped, ciwl, *started: readings(
            _resumed(started, 7, 16), never("emergence", RISES)
        ),
        needed=1,
        contradiction="from one of these checkpoints Flip accuracy rises above one half",
    ),
)

FIGURE = Figure(
    "coopetition",
    "4",
    "4",
    "what training on CIWL does for ICL: clamped second halves, and early starts",
    draw,
    needs=(
        Runs("coopetition/icl_only"),
        Runs("coopetition/icl_only_clamped", optional=True),
        Runs("coopetition/ciwl_only", optional=True),
        *(Runs(f"coopetition/grafted_{at:g}M", optional=True) for at in GRAFTED_AT),
        *(Runs(f"coopetition/resumed_{at:g}M", optional=True) for at in RESUMED_AT),
    ),
    claims=CLAIMS,
)
