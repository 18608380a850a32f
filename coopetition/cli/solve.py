"""Solve a model, and print when ICL is learnt, best, and unlearnt.

A draw gives the initial vectors and the targets of the model's factors.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from coopetition.cli._flags import ModelFlags, OutputFlags, read_assignments, split_names
from coopetition.dynamics.solve import MAX_STEPS, Method, solve
from coopetition.dynamics.trajectory import Status
from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState, published_draw, random_draw, read_draw
from coopetition.model.presets import named_dims
from coopetition.tools.checks import check_int, check_number
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.flags import default_shown_as

STEPS = 16_000  # as in the paper


@dataclass(frozen=True, kw_only=True)
class Flags(ModelFlags, OutputFlags):
    draws: Annotated[Path | None, default_shown_as("random draws")] = None
    """`published` (the paper's twelve draws, seeds 0 to 11), or an `.npz` file with the arrays
    seedN/initial/FACTOR and seedN/target/FACTOR."""
    seed: int = 0
    """Random seed of a random draw; with --draws, the number N of the draw."""
    dims: Annotated[tuple[int, ...] | None, default_shown_as("the model's")] = None
    """Lengths of the factors in random draws, in the model's order (published: 20 20 20 160)."""
    initial_scale: float = 1.0
    """Standard deviation of the initial entries in random draws."""
    scales: Annotated[tuple[str, ...], default_shown_as("none")] = ()
    """Numbers that multiply the initial scale of single factors, such as `d=0.1`."""
    method: Method = "descent"
    """`descent`: gradient descent; `flow`: gradient flow, its limit of small steps."""
    step: float = 1.0
    """Step size of gradient descent."""
    threshold: float = 1e-6
    """Stop when the total loss is below this."""
    max_steps: Annotated[int | None, default_shown_as(str(STEPS))] = None
    """Maximum number of steps. The flow stops at the time max_steps x step."""
    t1: Annotated[float | None, default_shown_as("max_steps x step")] = None
    """Time (steps x step size) at which to stop, in place of --max-steps."""


def run(flags: Flags) -> None:
    flags.check_outputs()
    model = flags.named()
    draw = _draw(flags, model)
    check_number("step", flags.step, positive=True)
    if flags.max_steps is not None and flags.t1 is not None:
        raise UsageError("--max-steps and --t1 both say when to stop; leave out one")
    most = MAX_STEPS if flags.method == "descent" else None
    max_steps = STEPS if flags.max_steps is None else flags.max_steps
    check_int("max_steps", max_steps, 1, most)
    trajectory = solve(
        model,
        draw,
        method=flags.method,
        t1=flags.step * max_steps if flags.t1 is None else flags.t1,
        step=flags.step,
        threshold=flags.threshold,
    )
    flags.write_outputs(trajectory, trajectory.plot)
    if trajectory.status in (Status.DIVERGED, Status.FAILED):
        raise UserError(trajectory.status.value)


def _draw(flags: Flags, model: Model) -> InitialState:
    if flags.draws is None:
        dims = _dims(model, flags.dims)
        words = split_names(flags.scales)
        scales = read_assignments("--scales", words, float, "NUMBER, as d=0.1")
        return random_draw(flags.seed, dims, flags.initial_scale, scales=scales)
    if flags.dims is not None or flags.initial_scale != 1.0 or flags.scales:
        raise UsageError(
            "--dims, --initial-scale and --scales are for random draws; leave out --draws"
        )
    if flags.draws == Path("published"):
        return published_draw(flags.seed)
    return read_draw(flags.draws, flags.seed)


def _dims(model: Model, lengths: tuple[int, ...] | None) -> dict[str, int]:
    if lengths is None:
        return named_dims(model)
    if len(lengths) != len(model.factors):
        raise UsageError(
            f"--dims has {len(lengths)} numbers; give one for each of the factors "
            f"{' '.join(model.factors)}"
        )
    return dict(zip(model.factors, lengths, strict=True))
