"""Solve a model: when does ICL emerge, peak and fade?

The model is one of a family, its problem a draw of targets and initial values.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coopetition.model.declaration import Model
from coopetition.model.draws import random_draw, read_draw
from coopetition.model.presets import named_dims, named_model
from coopetition.plot.style import check_picture, save_plot
from coopetition.solve.dynamics import Method, solve
from coopetition.tools.command_line import print_json
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_file


@dataclass(frozen=True, kw_only=True)
class Flags:
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


def run(flags: Flags) -> None:
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
