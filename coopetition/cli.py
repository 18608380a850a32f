"""The console command `coopetition`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from coopetition.model.declaration import Model
from coopetition.model.draws import random_draw, read_draw
from coopetition.model.presets import named_dims, named_model
from coopetition.plot.style import check_picture, save_plot
from coopetition.solve.dynamics import Method, solve
from coopetition.tools.command_line import parse, print_json, run_command
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_file


@dataclass(frozen=True, kw_only=True)
class SolveFlags:
    """Solve a model of the family from one draw of targets and initial values."""

    model: Literal[
        "two_strategies", "no_competition", "no_sharing", "induction_head", "three_strategies"
    ] = "two_strategies"
    """Which model: the published one, or a relative of it."""

    draws: Path | None = None
    """`.npz` with the arrays seedN/initial/FACTOR and seedN/target/FACTOR; random draws without."""
    seed: int = 0
    """Which draw."""
    dims: tuple[int, ...] | None = None
    """Lengths of the factors for random draws (a b c d: the published 20 20 20 160 without)."""
    initial_scale: float = 1.0
    """Standard deviation of a random draw's initial entries."""
    alpha: float | None = None
    """Strength of competition (the model's own, 0.1, without)."""
    mu1: float | None = None
    """ICL's irreducible error: above 0 ICL is transient, at 0 it persists (0.1 without)."""
    mu2: float | None = None
    """CIWL's irreducible error (0 without)."""
    mu3: float | None = None
    """IWL's irreducible error, in a model of three strategies."""
    method: Method = "descent"
    """Gradient descent, or its limit of small steps, gradient flow."""
    step: float = 1.0
    """Step size of descent."""
    threshold: float = 1e-6
    """Stop when the total loss is below this."""
    max_steps: int = 16000
    """Stop after so many steps (the flow: so many times the step size)."""
    out: Path | None = None
    """Save the whole trajectory here (`.npz`)."""
    plot: Path | None = None
    """Save a plot of the losses here (`.png` or `.pdf`)."""
    json: bool = False
    """Print one JSON object."""


def solve_command(arguments: list[str]) -> None:
    """Solve a model: when does ICL emerge, peak and fade?"""
    flags = parse(SolveFlags, arguments, prog="coopetition solve")
    check_picture(flags.plot)
    check_file(flags.out)
    given = {name: getattr(flags, name) for name in ("alpha", "mu1", "mu2", "mu3")}
    numbers = {name: value for name, value in given.items() if value is not None}
    model = named_model(flags.model, **numbers)
    if flags.draws is not None:
        if flags.dims is not None or flags.initial_scale != 1.0:
            raise UsageError("--dims and --initial-scale are for random draws; leave out --draws")
        draw = read_draw(flags.draws, flags.seed)
    else:
        dims = _dims(model, flags.dims)
        draw = random_draw(flags.seed, dims, flags.initial_scale)
    trajectory = solve(
        model,
        draw,
        method=flags.method,
        step=flags.step,
        threshold=flags.threshold,
        max_steps=flags.max_steps,
    )
    if flags.out is not None:
        trajectory.save(flags.out)
    if flags.plot is not None:
        save_plot(trajectory.plot, flags.plot)
    if flags.json:
        print_json(trajectory.to_dict())
    else:
        print(trajectory.summary())


def _dims(model: Model, lengths: tuple[int, ...] | None) -> dict[str, int]:
    if lengths is None:
        return named_dims(model)
    if len(lengths) != len(model.factors):
        raise UsageError(
            f"--dims has {len(lengths)} numbers; give one for each of the factors "
            f"{' '.join(model.factors)}"
        )
    return dict(zip(model.factors, lengths, strict=True))


@dataclass(frozen=True, kw_only=True)
class DeriveFlags:
    """Derive a model's losses, slopes, laws and critical points; each statement is proved."""

    model: tyro.conf.Positional[str]
    """two_strategies, no_competition, no_sharing, induction_head or three_strategies."""
    latex: bool = False
    """Print the whole document, in Markdown with LaTeX."""


def derive_command(arguments: list[str]) -> None:
    """Derive a model's theory symbolically and prove it (half a minute)."""
    flags = parse(DeriveFlags, arguments, prog="coopetition derive")
    model = named_model(flags.model)
    from coopetition.theory.document import Derivation

    derivation = Derivation(flags.model, model)
    print(derivation.markdown() if flags.latex else derivation.text(), end="")


@dataclass(frozen=True, kw_only=True)
class PhasesFlags:
    """Fates of many trajectories over two parameters: a phase diagram.

    A parameter is alpha, mu1, mu2, ..., initial_scale, dim_X or scale_X for a factor X.  Its values
    go by equal ratios where the ends are positive and at least 10 apart, else by equal differences.
    """

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


def phases_command(arguments: list[str]) -> None:
    """Draw a phase diagram: what becomes of ICL over two parameters."""
    flags = parse(PhasesFlags, arguments, prog="coopetition phases")
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


@dataclass(frozen=True, kw_only=True)
class FitFlags:
    """Fit the minimal model to a run's train, ICL and CIWL loss curves."""

    curves: tyro.conf.Positional[Path]
    """A run folder, or a CSV with the columns sequences, train, icl, ciwl."""
    from_: Annotated[float, tyro.conf.arg(name="from")] = 0.0
    """Leave out what came before so many sequences (the toy knows no earlier phase)."""
    metric: Literal["loss", "in_context_loss"] = "loss"
    """Which loss of a run folder, in nats: over all labels, or over those in context."""
    seed: int = 0
    """Of the random starts."""
    starts: int = 32
    """Starts that are refined."""
    out: Path | None = None
    """Save the fit, with its curves, here (`.json`)."""
    plot: Path | None = None
    """Save a plot here (`.png` or `.pdf`)."""
    json: bool = False
    """Print one JSON object."""


def fit_command(arguments: list[str]) -> None:
    """Fit the minimal model to the loss curves of a run."""
    flags = parse(FitFlags, arguments, prog="coopetition fit")
    from coopetition.compare.curves import read_curves
    from coopetition.compare.estimate import fit
    from coopetition.compare.observation import OBSERVED
    from coopetition.plot.fits import plot_fit

    if not math.isfinite(flags.from_):
        raise UsageError(f"--from {flags.from_}; give a number of sequences")
    check_picture(flags.plot)
    check_file(flags.out)
    curves = read_curves(flags.curves, flags.metric).select(tuple(OBSERVED)).between(flags.from_)
    result = fit(curves, seed=flags.seed, n_starts=flags.starts)
    if flags.out is not None:
        result.save(flags.out)
    if flags.plot is not None:
        save_plot(partial(plot_fit, result), flags.plot)
    if flags.json:
        print_json(result.to_dict())
    else:
        print(result.summary())


@dataclass(frozen=True, kw_only=True)
class DemoFlags:
    """Train a transformer, solve the toy, fit one to the other, draw both."""

    out: Path = Path("demo")
    """Folder for the figure, the report and the run."""
    quick: bool = False
    """A minute's version that is too short to show the phenomenon."""
    threads: int | None = None
    """CPU threads (all cores without)."""


def demo_command(arguments: list[str]) -> None:
    """See ICL rise and fall in a transformer, beside the theory (some minutes)."""
    flags = parse(DemoFlags, arguments, prog="coopetition demo")
    from paper_figures.demo import run_demo  # the one import against the usual direction

    run_demo(flags.out, quick=flags.quick, threads=flags.threads)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "solve": solve_command,
    "derive": derive_command,
    "phases": phases_command,
    "fit": fit_command,
    "demo": demo_command,
}


def main() -> None:
    """Run the command line."""
    run_command(COMMANDS, "Theory of strategy coopetition in transformers.", "coopetition")
