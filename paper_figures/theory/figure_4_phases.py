"""Fates by parameters: simulated, and predicted by the slow system."""

from typing import TYPE_CHECKING

import numpy as np

from paper_figures.core.figure import Figure, FigureResult, Numbers, blank

if TYPE_CHECKING:
    from coopetition.studies.phases import PhaseDiagram

SEED = 1


def draw(n: int = 100, n_draws: int = 10, n_predicted: int = 16) -> FigureResult:
    """Draw fates of random draws over two pairs of parameters, and predicted boundaries."""
    from coopetition.model.presets import two_strategies
    from coopetition.plot.toy import plot_boundaries, plot_phases
    from coopetition.studies.phases import Axis, phase_diagram, predicted_diagram

    drawing = blank(7.2, 3.2)
    model = two_strategies()

    def axis(parameter: str, size: int) -> Axis:
        ends = {"alpha": (1e-3, 1.0), "mu1": (0.0, 0.2), "scale_d": (0.1, 2.0)}
        return Axis.between(parameter, *ends[parameter], size, log=parameter != "mu1")

    alpha, mu1, scale = (axis(name, n) for name in ("alpha", "mu1", "scale_d"))
    many = phase_diagram(model, alpha, mu1, n_draws=n_draws)
    sizes = phase_diagram(model, alpha, scale, n_draws=n_draws)
    one = phase_diagram(model, alpha, mu1, n_draws=1, seed=SEED)
    few = [axis(name, n_predicted) for name in ("alpha", "mu1")]
    predicted = predicted_diagram(model, *few, seed=SEED)
    coarse = phase_diagram(model, *few, n_draws=1, seed=SEED)
    agree = float((predicted.fates == coarse.fates).mean())
    axes = drawing.subplots(1, 3)
    titles = (f"{n_draws} random draws", f"{n_draws} random draws", "one draw; lines: predicted")
    for ax, diagram, title in zip(axes, (many, sizes, one), titles, strict=True):
        plot_phases(diagram, ax=ax)
        ax.set_title(title)
    plot_boundaries(predicted, ax=axes[2])
    diagrams = {"draws": many, "sizes": sizes, "one": one, "predicted": predicted}
    numbers = [row for panel, diagram in diagrams.items() for row in _rows(panel, diagram)]
    findings = [
        *many.summary().splitlines(),
        f"one draw: the slow system predicts the fate at {agree:.1%} of {coarse.fates.size} points",
    ]
    return FigureResult(drawing, numbers, {"many": many.to_dict()}, findings)


def _rows(panel: str, diagram: "PhaseDiagram") -> Numbers:
    """Return each point's most frequent fate, under its name."""
    shares = diagram.shares()
    fates, first = list(shares), np.stack(list(shares.values())).argmax(0)
    return [
        (panel, fates[first[row, column]].name.lower(), float(x), float(y))
        for row, y in enumerate(diagram.y.values)
        for column, x in enumerate(diagram.x.values)
    ]


FIGURE = Figure(__name__, "phase diagrams over alpha, mu1 and the initial size of d", draw)
