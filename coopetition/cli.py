"""The console command `coopetition`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from coopetition.commands import parse, print_json, run_command
from coopetition.draws import random_draw, read_draw
from coopetition.dynamics import Method, solve
from coopetition.errors import UsageError
from coopetition.model import PUBLISHED_DIMS, two_strategies
from coopetition.plot import check_picture, save_axes


@dataclass(frozen=True, kw_only=True)
class SolveFlags:
    """Solve the two-strategy minimal model from one draw of targets and initial values."""

    draws: Path | None = None
    """`.npz` with the arrays seedN/initial/FACTOR and seedN/target/FACTOR; random draws without."""
    seed: int = 0
    """Which draw."""
    dims: tuple[int, int, int, int] | None = None
    """Lengths of a, b, c, d for random draws (the published 20 20 20 160 without)."""
    initial_scale: float = 1.0
    """Standard deviation of a random draw's initial entries."""
    alpha: float = 0.1
    """Strength of competition."""
    mu1: float = 0.1
    """ICL's irreducible error: above 0 ICL is transient, at 0 it persists."""
    mu2: float = 0.0
    """CIWL's irreducible error."""
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
    """Solve the minimal model: when does ICL emerge, peak and fade?"""
    flags = parse(SolveFlags, arguments, prog="coopetition solve")
    check_picture(flags.plot)
    if flags.draws is not None:
        if flags.dims is not None or flags.initial_scale != 1.0:
            raise UsageError("--dims and --initial-scale are for random draws; leave out --draws")
        draw = read_draw(flags.draws, flags.seed)
    else:
        lengths = flags.dims or tuple(PUBLISHED_DIMS.values())
        dims = dict(zip(PUBLISHED_DIMS, lengths, strict=True))
        draw = random_draw(flags.seed, dims, flags.initial_scale)
    trajectory = solve(
        two_strategies(alpha=flags.alpha, mu1=flags.mu1, mu2=flags.mu2),
        draw,
        method=flags.method,
        step=flags.step,
        threshold=flags.threshold,
        max_steps=flags.max_steps,
    )
    if flags.out is not None:
        trajectory.save(flags.out)
    if flags.plot is not None:
        save_axes(trajectory.plot(), flags.plot)
    if flags.json:
        print_json(trajectory.to_dict())
    else:
        print(trajectory.summary())


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
    from coopetition.compare.observe import OBSERVED
    from coopetition.plot import plot_fit

    if not math.isfinite(flags.from_):
        raise UsageError(f"--from {flags.from_}; give a number of sequences")
    check_picture(flags.plot)
    curves = read_curves(flags.curves, flags.metric).select(tuple(OBSERVED)).between(flags.from_)
    result = fit(curves, seed=flags.seed, n_starts=flags.starts)
    if flags.out is not None:
        result.save(flags.out)
    if flags.plot is not None:
        save_axes(plot_fit(result), flags.plot)
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
    "fit": fit_command,
    "demo": demo_command,
}


def main() -> None:
    """Run the command line."""
    run_command(COMMANDS, "Theory of strategy coopetition in transformers.", "coopetition")
