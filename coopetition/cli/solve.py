"""Solve a model, and print when ICL is learnt, best, and unlearnt.

The model is one of a family; its problem is a draw of targets and initial values.
"""

from dataclasses import dataclass
from pathlib import Path

from coopetition.cli._model import ModelFlags
from coopetition.cli._outputs import OutputFlags
from coopetition.cli._theory import read_assignments
from coopetition.dynamics.solve import MAX_STEPS, Method, solve
from coopetition.dynamics.trajectory import Status
from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState, published_draw, random_draw, read_draw
from coopetition.model.presets import named_dims
from coopetition.theory.laws import check_laws
from coopetition.tools.checks import check_int, check_number
from coopetition.tools.errors import UsageError, UserError


@dataclass(frozen=True, kw_only=True)
class Flags(ModelFlags, OutputFlags):
    draws: Path | None = None
    """`published` (seeds 0 to 11), or an `.npz` with the arrays seedN/initial/FACTOR and
    seedN/target/FACTOR (None: random draws)."""
    seed: int = 0
    """Random seed of the draw, or its number."""
    dims: tuple[int, ...] | None = None
    """Lengths of the factors for random draws (None: the model's; published: 20 20 20 160)."""
    initial_scale: float = 1.0
    """Standard deviation of a random draw's initial entries."""
    scales: tuple[str, ...] = ()
    """Further scale of a factor's initial entries, as `d=0.1` (the axis scale_d of phases)."""
    method: Method = "descent"
    """Gradient descent, or its limit of small steps, gradient flow."""
    step: float = 1.0
    """Step size of descent."""
    threshold: float = 1e-6
    """Stop when the total loss is below this."""
    max_steps: int = 16000
    """Maximum number of steps (of the flow: times the step size)."""
    t1: float | None = None
    """Flow time (steps x step size) at which to stop, in place of --max-steps."""


def run(flags: Flags) -> None:
    flags.check_outputs()
    model = flags.named()
    draw = _draw(flags, model)
    check_number("step", flags.step, positive=True)
    most = MAX_STEPS if flags.method == "descent" and flags.t1 is None else None
    check_int("max_steps", flags.max_steps, 1, most)
    trajectory = solve(
        model,
        draw,
        method=flags.method,
        t1=flags.step * flags.max_steps if flags.t1 is None else flags.t1,
        step=flags.step,
        threshold=flags.threshold,
    )
    laws = {check.law.name: check.drift for check in check_laws(trajectory)}
    flags.write_outputs(trajectory, trajectory.plot, laws=laws)
    if trajectory.status in (Status.DIVERGED, Status.FAILED):
        raise UserError(trajectory.status.value)


def _draw(flags: Flags, model: Model) -> InitialState:
    if flags.draws is None:
        dims = _dims(model, flags.dims)
        scales = read_assignments("--scales", flags.scales, float, "NUMBER, as d=0.1")
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
