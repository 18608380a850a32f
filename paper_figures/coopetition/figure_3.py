"""Figure 3: the heads' part in ICL during the main run, and in which layer ICL's end is.

a: induction strengths of the last layer.  b: the run's curves with the second layer and the
unembedding fixed to a late checkpoint.  c: with the embeddings and the first layer fixed.  The
paper's numbers are read off its figures; its sequences count by the learning rate.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from coopetition.plot.fits import SEQUENCES, plot_curves
from coopetition.plot.style import label_of, line_styles
from paper_figures.coopetition.events import LATE
from paper_figures.coopetition.heads import Band, compared, draw_heads, draw_published
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import EVALUATORS, METRIC
from paper_figures.core.runs import FigureRun, KeptTable, Runs, Tables

STRENGTHS: list[Band] = [
    (3.5e6, 0.05, 0.20),
    (4.3e6, 0.28, 0.33),
    (6e6, 0.06, 0.15),
    (8e6, -0.21, -0.13),
    (10e6, -0.35, -0.29),
    (15e6, -0.51, -0.46),
    (20e6, -0.55, -0.51),
]
LAYER_1_OF = ("peak", "fall", "end")  # of Flip, see `transformer.experiments.coopetition`
LAYER_1_FIXED = (
    {"train": 0.81, "icl": 0.76, "flip": 0.72, "ciwl": 0.57},
    {"train": 0.95, "icl": 0.89, "flip": 0.31, "ciwl": 0.82},
    {"train": 0.97, "icl": 0.63, "flip": 0.045, "ciwl": 0.96},
)


def draw(
    runs: list[FigureRun],
    induction: list[KeptTable],
    layer_2_fixed: list[KeptTable],
    *layer_1_fixed: list[KeptTable],
) -> FigureResult:
    """The run of the first seed that is measured; panels b and c where layers were fixed."""
    run = induction[0].run
    shown = LATE * 1e6 / run.rate_ratio
    drawing = blank(7.2, 4.8)
    (strength_axes, upper_axes, empty), lower_axes = drawing.subplots(2, 3)
    empty.set_axis_off()
    numbers = draw_heads(strength_axes, "a", induction[0].select(layer=1), "sequences", scale=1e6)
    strengths = [(x / run.rate_ratio, low, high) for x, low, high in STRENGTHS]
    numbers += draw_published(strength_axes, "a", strengths, scale=1e6)
    strength_axes.set(title="a  induction strength on Flip", xlabel=SEQUENCES)
    heads = strength_axes.get_legend_handles_labels()
    empty.legend(*heads, frameon=False, loc="center", bbox_to_anchor=(0.1, 0.5))
    numbers += _draw_fixed(upper_axes, "b", run, layer_2_fixed)
    upper_axes.set(title="b  second layer fixed (points)")
    for name, ax, tables in zip(LAYER_1_OF, lower_axes, layer_1_fixed, strict=True):
        numbers += _draw_fixed(ax, f"c {name}", run, tables)
        ax.set(title=f"c  first layer of Flip's {name}" + ("" if tables else ": no run yet"))
    empty.add_artist(empty.get_legend())  # a second legend would replace it
    strategies = upper_axes.get_legend_handles_labels()
    empty.legend(*strategies, frameon=False, loc="center", bbox_to_anchor=(0.75, 0.5))
    for ax in (strength_axes, upper_axes, *lower_axes):
        ax.set(xlim=(0, shown / 1e6))
    findings = [_deviation(run, table) for table in layer_2_fixed[:1]]
    findings += _levels(run, layer_1_fixed, shown)
    return FigureResult(drawing, numbers, {"run": run.record(), "seeds": len(runs)}, findings)


def _draw_fixed(ax: Axes, panel: str, run: FigureRun, fixed: list[KeptTable]) -> Numbers:
    """The run's own curves as lines, and those with a layer fixed as points."""
    curves = run.curves(METRIC).select(EVALUATORS)
    plot_curves(curves, ax=ax, lw=0.8, alpha=0.6)
    styles = line_styles(EVALUATORS)
    numbers: Numbers = []
    for name, values in curves.values.items():
        numbers += points(panel, f"{label_of(name)}, the run", curves.sequences, values)
    for name, (x, y) in _accuracies(fixed[0]).items() if fixed else ():
        ax.plot(x / 1e6, y, ".", ms=3, color=styles[name]["color"])
        numbers += points(panel, label_of(name), x, y)
    ax.set(ylim=(0, 1), ylabel="in-context accuracy")
    return numbers


def _accuracies(table: KeptTable) -> dict[str, tuple[np.ndarray, ...]]:
    return table.select(measure="accuracy", what=METRIC).curves("evaluator", "sequences")


def deviations(run: FigureRun, fixed: KeptTable) -> dict[str, float]:
    """How far curves with a layer fixed are from the run's own at most, from Flip's peak on."""
    own, first = run.curves(METRIC), run.timeline().flip_peak_at
    last = fixed.column("sequences").max()
    away = {}
    for name, (x, y) in _accuracies(fixed).items():
        there = (x >= first) & (x <= last)
        expected = np.interp(x[there], own.sequences, own.values[name])
        away[name] = float(np.abs(y[there] - expected).max())
    return away


def _deviation(run: FigureRun, fixed: KeptTable) -> str:
    """`deviations` in a line."""
    away = deviations(run, fixed).items()
    told = ", ".join(f"{name} {value:.3f}" for name, value in away)
    return f"second layer fixed: from Flip's peak on at most {told} from the run's own curves"


def _levels(run: FigureRun, layer_1_fixed: Sequence[list[KeptTable]], last: float) -> Iterator[str]:
    """Mean accuracies with the first layer fixed, from Flip's peak on, beside the paper's."""
    for name, tables, paper in zip(LAYER_1_OF, layer_1_fixed, LAYER_1_FIXED, strict=True):
        for table in tables[:1]:
            first = run.timeline().flip_peak_at
            ours = {
                evaluator: float(y[(x >= first) & (x <= last)].mean())
                for evaluator, (x, y) in _accuracies(table).items()
            }
            fixed, own = spreads(table)
            yield (
                compared(f"first layer of Flip's {name} fixed", ours, paper)
                + f"; standard deviation over checkpoints at most {fixed:.3f} ({own:.3f} without)"
            )


FOLLOWS = 0.1  # deviation below which a curve is that of the run itself
STILL = 0.1  # of the run's own standard deviation, below which nothing changes


def _turns(induction: list[KeptTable]) -> list[Reading]:
    """Whether induction strength rises with ICL and turns below 0; its mean of heads at 20M."""
    readings = []
    for table in induction:
        curves = table.select(layer=1).curves("head", "sequences").values()
        x = next(iter(curves))[0]
        mean = np.mean([y for _, y in curves], axis=0)
        last = float(np.interp(LATE * 1e6 / table.run.rate_ratio, x, mean))
        readings.append(Reading.of(table.run, bool(mean.max() > 0.1 and last < -0.1), last))
    return readings


def _follows(layer_2_fixed: list[KeptTable]) -> list[Reading]:
    return [
        Reading.of(table.run, max(deviations(table.run, table).values()) < FOLLOWS)
        for table in layer_2_fixed
    ]


def _stays_flat(*layer_1_fixed: list[KeptTable]) -> list[Reading]:
    return [
        Reading.of(table.run, stands_still(table), part=f"of Flip's {name}")
        for name, tables in zip(LAYER_1_OF, layer_1_fixed, strict=True)
        for table in tables
    ]


def stands_still(table: KeptTable) -> bool:
    """Whether accuracies with a layer fixed change by less than a tenth of what they do without."""
    fixed, own = spreads(table)
    return fixed < STILL * own


def spreads(table: KeptTable) -> tuple[float, float]:
    """Standard deviation of the accuracies that change most, from Flip's peak on.

    With the layer fixed, and in the run itself at the same checkpoints.
    """
    curves, first = table.run.curves(METRIC), table.run.timeline().flip_peak_at
    fixed, own = [], []
    for name, (x, y) in _accuracies(table).items():
        fixed.append(float(y[x >= first].std()))
        own.append(float(np.interp(x[x >= first], curves.sequences, curves.values[name]).std()))
    return max(fixed), max(own)


CLAIMS = (
    Claim(
        "induction strength rises with ICL and turns negative with CIWL",
        lambda runs, induction, *fixed: _turns(induction),
        Published(-0.55, -0.51, "signed"),
        contradiction="mean strength never exceeds 0.1, or is -0.1 or more at 20M",
    ),
    Claim(
        "from Flip's peak on, all curves are those of the first layer alone: the second layer's "
        "end reproduces them",
        lambda runs, induction, upper, *lower: _follows(upper),
        contradiction="a curve with the second layer fixed is 0.1 or more from the run "
        "itself after Flip's peak",
    ),
    Claim(
        "with the first layer fixed nothing changes any more",
        lambda runs, induction, upper, *lower: _stays_flat(*lower),
        contradiction="accuracies with the first layer fixed vary by a tenth or more of what "
        "they do without",
    ),
)

FIGURE = Figure(
    "coopetition",
    "3",
    "3",
    "induction strength during the main run, and curves with one layer fixed",
    draw,
    needs=(
        Runs("coopetition/main"),
        Tables("induction", "coopetition/main"),
        Tables("layer_2_fixed", "coopetition/main", optional=True),
        *(Tables(f"layer_1_of_{name}", "coopetition/main", optional=True) for name in LAYER_1_OF),
    ),
    claims=CLAIMS,
)
