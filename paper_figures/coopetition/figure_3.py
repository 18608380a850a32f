"""Figure 3: the heads' part in ICL during the main run, and the layer in which ICL ends.

a: induction strengths of the last layer.  b: the run's curves with the second layer and the
unembedding fixed to a late checkpoint.  c: with the embeddings and the first layer fixed.  The
paper's numbers are read off its figures; its sequences are divided by the ratio of learning rates.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from coopetition.plot.fits import SEQUENCES, plot_curves
from coopetition.plot.style import label_of, line_styles
from paper_figures.coopetition.events import LATE
from paper_figures.coopetition.panels import PaperRange, draw_heads, draw_ranges
from paper_figures.core.claims import Claim, Published, Reading, table_readings
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank, points
from paper_figures.core.plotting import SHOWN_EVALUATORS
from paper_figures.core.runs import METRIC, Array, FigureRun, KeptTable, Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRENGTHS: list[PaperRange] = [
    (3.5e6, 0.05, 0.20),
    (4.3e6, 0.28, 0.33),
    (6e6, 0.06, 0.15),
    (8e6, -0.21, -0.13),
    (10e6, -0.35, -0.29),
    (15e6, -0.51, -0.46),
    (20e6, -0.55, -0.51),
]
LAYER_1_FIXED = {  # where the first layer is fixed on Flip's curve, and the paper's accuracies
    "peak": {"train": 0.81, "icl": 0.76, "flip": 0.72, "ciwl": 0.57},
    "fall": {"train": 0.95, "icl": 0.89, "flip": 0.31, "ciwl": 0.82},
    "end": {"train": 0.97, "icl": 0.63, "flip": 0.045, "ciwl": 0.96},
}
SAME_CURVE = 0.1  # deviation below which a curve is that of the run itself
CONSTANT = 0.1  # of the run's own standard deviation, below which a curve does not change


def draw(
    runs: list[FigureRun],
    induction: list[KeptTable],
    layer_2_fixed: list[KeptTable],
    *layer_1_fixed: list[KeptTable],
) -> FigureResult:
    """Draw the run of the first measured seed; panels b and c where layers were fixed."""
    from matplotlib.legend import Legend

    run = induction[0].run
    shown = LATE * 1e6 / run.rate_ratio
    drawing = blank(7.2, 4.8)
    (strength_axes, upper_axes, empty), lower_axes = drawing.subplots(2, 3)
    empty.set_axis_off()
    numbers = draw_heads(strength_axes, "a", induction[0].select(layer=1), "sequences", scale=1e6)
    strengths = [(x / run.rate_ratio, low, high) for x, low, high in STRENGTHS]
    numbers += draw_ranges(strength_axes, "a", strengths, scale=1e6)
    strength_axes.set(title="a  induction strength on Flip", xlabel=SEQUENCES)
    numbers += _draw_fixed(upper_axes, "b", run, layer_2_fixed)
    upper_axes.set(title="b  second layer fixed (points)")
    for name, ax, tables in zip(LAYER_1_FIXED, lower_axes, layer_1_fixed, strict=True):
        numbers += _draw_fixed(ax, f"c {name}", run, tables)
        ax.set(title=f"c  first layer of Flip's {name}" + ("" if tables else ": no run yet"))
    for x, ax in ((0.1, strength_axes), (0.75, upper_axes)):
        handles = ax.get_legend_handles_labels()
        place = {"loc": "center", "bbox_to_anchor": (x, 0.5)}
        empty.add_artist(Legend(empty, *handles, frameon=False, **place))
    for ax in (strength_axes, upper_axes, *lower_axes):
        ax.set(xlim=(0, shown / 1e6))
    return FigureResult(drawing, numbers, {"run": run.record(), "seeds": len(runs)})


def _draw_fixed(ax: "Axes", panel: str, run: FigureRun, fixed: list[KeptTable]) -> Numbers:
    """Draw the run's own curves as lines, and those with a layer fixed as points."""
    curves = run.curves().select(SHOWN_EVALUATORS)
    plot_curves(curves, ax=ax, lw=0.8, alpha=0.6)
    styles = line_styles(SHOWN_EVALUATORS)
    numbers: Numbers = []
    for name, values in curves.values.items():
        numbers += points(panel, f"{label_of(name)}, the run", curves.sequences, values)
    for name, (x, y) in _accuracies(fixed[0]).items() if fixed else ():
        ax.plot(x / 1e6, y, ".", ms=3, color=styles[name]["color"])
        numbers += points(panel, label_of(name), x, y)
    ax.set(ylim=(0, 1), ylabel="in-context accuracy")
    return numbers


def _accuracies(table: KeptTable) -> dict[str, tuple[Array, Array]]:
    return table.select(measure="accuracy", what=METRIC).curves("evaluator", "sequences")


def _after_peak(fixed: KeptTable) -> Iterator[tuple[str, Array, Array]]:
    """Yield each evaluator's accuracies from Flip's peak on: with a layer fixed, and without."""
    curves, peak = fixed.run.curves(), fixed.run.timeline().flip_peak_at or 0.0
    for name, (x, y) in _accuracies(fixed).items():
        later = x >= peak
        yield name, y[later], np.interp(x[later], curves.sequences, curves.values[name])


def deviations(fixed: KeptTable) -> dict[str, float]:
    """Return how far curves with a layer fixed are from the run's own at most."""
    return {name: float(np.abs(y - own).max()) for name, y, own in _after_peak(fixed)}


def spreads(fixed: KeptTable) -> tuple[float, float]:
    """Return the largest standard deviation over checkpoints, with a layer fixed and without."""
    rows = [(float(y.std()), float(own.std())) for _, y, own in _after_peak(fixed)]
    return max(row[0] for row in rows), max(row[1] for row in rows)


def is_constant(fixed: KeptTable) -> bool:
    """Return whether accuracies with a layer fixed change by less than a tenth of the run's."""
    with_layer_fixed, own = spreads(fixed)
    return with_layer_fixed < CONSTANT * own


def _turning(table: KeptTable) -> tuple[bool, float]:
    """Return whether strength rises with ICL and turns negative; the heads' mean at 20M."""
    curves = [*table.select(layer=1).curves("head", "sequences").values()]
    mean = np.mean([y for _, y in curves], axis=0)
    last = float(np.interp(LATE * 1e6 / table.run.rate_ratio, curves[0][0], mean))
    return bool(mean.max() > 0.1 and last < -0.1), last


def _constant_readings(*layer_1_fixed: list[KeptTable]) -> list[Reading]:
    return [
        Reading.of(table.run, is_constant(table), part=f"of Flip's {name}")
        for name, tables in zip(LAYER_1_FIXED, layer_1_fixed, strict=True)
        for table in tables
    ]


CLAIMS = (
    Claim(
        "induction strength rises with ICL and turns negative with CIWL",
        lambda runs, induction, *fixed: table_readings(induction, _turning),
        Published(-0.55, -0.51, "signed"),
        contradiction="mean strength never exceeds 0.1, or is -0.1 or more at 20M",
    ),
    Claim(
        "with a late second layer, all curves are the same from Flip's peak on: only the first "
        "layer changes",
        lambda runs, induction, upper, *lower: table_readings(
            upper, lambda table: (max(deviations(table).values()) < SAME_CURVE, None)
        ),
        contradiction="after Flip's peak, a curve with the second layer fixed differs by 0.1 or "
        "more from that of the run itself",
    ),
    Claim(
        "with the first layer fixed, accuracies stay constant",
        lambda runs, induction, upper, *lower: _constant_readings(*lower),
        contradiction="with the first layer fixed, accuracies vary by a tenth or more of their "
        "variation in the run itself",
    ),
)

FIGURE = Figure(
    __name__,
    "induction strength during the main run, and curves with one layer fixed",
    draw,
    (
        Runs("coopetition/main"),
        Runs("coopetition/main", "induction"),
        *(
            Runs("coopetition/main", kind, optional=True)
            for kind in ("layer_2_fixed", *(f"layer_1_of_{name}" for name in LAYER_1_FIXED))
        ),
    ),
    CLAIMS,
)
