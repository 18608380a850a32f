"""Draw a phase diagram: what becomes of ICL over two parameters.

A parameter is alpha, mu1, mu2, ..., initial_scale, dim_X or scale_X for a factor X.  Its values
go by equal ratios where the ends are positive and at least 10 apart, else by equal differences.
The model's numbers that are no axis can be given.  A point's colour in the plot is the most
frequent fate of its draws, the paler the fewer of them meet it.
"""

import time
from dataclasses import dataclass
from functools import partial

from coopetition.cli._model import ModelFlags
from coopetition.cli._outputs import Outputs
from coopetition.tools.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Flags(ModelFlags, Outputs):
    x: tuple[str, float, float] = ("alpha", 0.001, 1.0)
    """Horizontal axis: a parameter and its ends."""
    y: tuple[str, float, float] = ("mu1", 0.0, 0.2)
    """Vertical axis: a parameter and its ends."""
    grid: tuple[int, int] | None = None
    """Points along x and y, in place of --cells."""
    draws: int = 10
    """Random draws at every point; each is the same everywhere."""
    cells: int | None = None
    """Trajectories in all, points times draws, raised to the next number that makes a grid (10000
    if neither this nor --grid is given)."""
    steps: int = 16000
    """Steps of gradient descent."""
    step: float = 1.0
    """Step size."""
    seed: int = 0
    """Of the random draws."""


def run(flags: Flags) -> None:
    flags.check_outputs()
    from coopetition.plot.toy import plot_phases
    from coopetition.studies.phases import Axis, phase_diagram

    for axis, (parameter, *_) in (("x", flags.x), ("y", flags.y)):
        if parameter in flags.numbers():
            raise UsageError(f"{parameter} is the {axis} axis; leave out --{parameter}")
    nx, ny = _grid(flags)
    start = time.perf_counter()
    diagram = phase_diagram(
        flags.named(),
        Axis.between(*flags.x, nx, log=_far_apart(*flags.x)),
        Axis.between(*flags.y, ny, log=_far_apart(*flags.y)),
        n_draws=flags.draws,
        n_steps=flags.steps,
        step=flags.step,
        seed=flags.seed,
    )
    flags.give(diagram, partial(plot_phases, diagram), seconds=time.perf_counter() - start)


def _far_apart(_parameter: str, first: float, last: float) -> bool:
    return 0 < 10 * first <= last


def _grid(flags: Flags) -> tuple[int, int]:
    from coopetition.studies.phases import grid_shape

    for name in ("draws", "cells"):
        value = getattr(flags, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} is {value}; choose at least 1")
    if flags.grid is None:
        return grid_shape(-(-(flags.cells or 10000) // flags.draws))
    if flags.cells is not None:
        raise UsageError("--grid and --cells both say how many points there are; give one of them")
    return flags.grid
