"""Draw a phase diagram: what becomes of ICL over two parameters.

A parameter is alpha, mu1, mu2, ..., initial_scale, dim_X or scale_X for a factor X.  Its values
go by equal ratios where the ends are positive and at least 10 apart, else by equal differences.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coopetition.model.presets import named_model
from coopetition.plot.style import check_picture, save_plot
from coopetition.tools.command_line import print_json
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_file


@dataclass(frozen=True, kw_only=True)
class Flags:
    model: str = "two_strategies"
    """Which model of the family."""
    x: tuple[str, float, float] = ("alpha", 0.001, 1.0)
    """Horizontal axis: a parameter and its ends."""
    y: tuple[str, float, float] = ("mu1", 0.0, 0.2)
    """Vertical axis: a parameter and its ends."""
    cells: int = 10000
    """Trajectories in all (raised to the next number that makes a grid)."""
    draws: int = 10
    """Random draws at every point of the grid; each is the same everywhere."""
    steps: int = 16000
    """Steps of gradient descent."""
    step: float = 1.0
    """Step size."""
    seed: int = 0
    """Of the draws."""
    out: Path | None = None
    """Save the fates here (`.npz`)."""
    plot: Path | None = None
    """Save a plot here (`.png`, `.pdf` or `.svg`)."""
    json: bool = False
    """Print one JSON object."""


def run(flags: Flags) -> None:
    check_picture(flags.plot)
    check_file(flags.out)
    model = named_model(flags.model)
    from coopetition.plot.phases import plot_phases
    from coopetition.studies.axes import Axis
    from coopetition.studies.phases import grid_of, phase_diagram

    for name in ("draws", "cells"):
        if getattr(flags, name) < 1:
            raise UsageError(f"--{name} is {getattr(flags, name)}; choose at least 1")
    nx, ny = grid_of(-(-flags.cells // flags.draws))
    start = time.perf_counter()
    diagram = phase_diagram(
        model,
        Axis.between(*flags.x, nx),
        Axis.between(*flags.y, ny),
        n_draws=flags.draws,
        n_steps=flags.steps,
        step=flags.step,
        seed=flags.seed,
    )
    seconds = time.perf_counter() - start
    if flags.out is not None:
        diagram.save(flags.out)
    if flags.plot is not None:
        save_plot(partial(plot_phases, diagram), flags.plot)
    if flags.json:
        print_json({"seconds": seconds, **diagram.to_dict()})
    else:
        print(f"{diagram.summary()}\n{seconds:.1f} s")
