"""Draw a phase diagram: the fate of ICL over two parameters.

The fate is the set of strategies that are learnt at the end. An axis can be alpha, mu1, mu2, ...,
initial_scale, or the length (dim_X) or initial scale (scale_X) of a factor X. An axis is
logarithmic if its ends are positive and at least a factor of 10 apart, otherwise linear. Set the
other parameters with flags. In the plot, a colour is the most frequent fate among the draws of a
point; the colour is paler if that fate is less frequent.
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from coopetition.cli._flags import ModelFlags, OutputFlags
from coopetition.tools.errors import UsageError
from coopetition.tools.flags import default_shown_as


@dataclass(frozen=True, kw_only=True)
class Flags(ModelFlags, OutputFlags):
    x: tuple[str, float, float] = ("alpha", 0.001, 1.0)
    """Horizontal axis: a parameter, its first and its last value."""
    y: tuple[str, float, float] = ("mu1", 0.0, 0.2)
    """Vertical axis: a parameter, its first and its last value."""
    grid: Annotated[tuple[int, int] | None, default_shown_as("from --cells")] = None
    """Number of points along x and along y, in place of --cells."""
    draws: int = 10
    """Number of random draws at each point; all points have the same draws."""
    cells: Annotated[int | None, default_shown_as("10000, or from --grid")] = None
    """Number of trajectories (points times draws), rounded up to a full grid: with 10 draws,
    --cells 100 gives 4 x 3 points, which are 120 trajectories."""
    steps: int = 16000
    """Number of steps of gradient descent."""
    step: float = 1.0
    """Step size of gradient descent."""
    seed: int = 0
    """Random seed for the draws."""


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
        Axis.between(*flags.x, nx, log=_is_logarithmic(*flags.x[1:])),
        Axis.between(*flags.y, ny, log=_is_logarithmic(*flags.y[1:])),
        n_draws=flags.draws,
        n_steps=flags.steps,
        step=flags.step,
        seed=flags.seed,
    )
    seconds = time.perf_counter() - start
    flags.write_outputs(diagram, partial(plot_phases, diagram), seconds=seconds)


def _is_logarithmic(first: float, last: float) -> bool:
    return 0 < 10 * first <= last


def _grid(flags: Flags) -> tuple[int, int]:
    from coopetition.studies.phases import MAX_POINTS, grid_shape

    for name in ("draws", "cells"):
        value = getattr(flags, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name} is {value}; choose at least 1")
    if flags.grid is None:
        cells, most = flags.cells or 10000, MAX_POINTS * flags.draws
        if cells > most:
            raise UsageError(
                f"--cells is {cells}; choose at most {most} ({MAX_POINTS} points of --draws)"
            )
        return grid_shape(-(-cells // flags.draws))
    if flags.cells is not None:
        raise UsageError("--grid and --cells both set the number of points; give one of them")
    return flags.grid
