"""Phase diagrams: fates of many trajectories over two parameters, simulated and predicted."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.batch import ProblemBatch, descend_batch, random_batch, sample_steps
from coopetition.dynamics.events import FATES, Fate, check_has_fates, classify_fates
from coopetition.dynamics.solve import MAX_STEPS, solve
from coopetition.model.graph import Model
from coopetition.model.initial_state import to_dims
from coopetition.model.presets import named_dims
from coopetition.theory.times import after_collapse, slow_flow
from coopetition.tools.checks import check_int, check_number, check_real_array
from coopetition.tools.console import ProgressReport, add_progress_switch
from coopetition.tools.errors import UsageError, check_type
from coopetition.tools.results import ArchivedResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
N_SAMPLES = 500  # of a trajectory, which decide its fate
MAX_POINTS = 10**6
MAX_DRAWS = 20_000  # at a point, whose curves are in memory at once: 32 KB each
CHUNK = 2048  # problems whose curves are in memory at once


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A parameter and its values along one side of a diagram.

    parameter : one of the model's (`Model.replace`: mu1, mu2, ..., alpha), dim_X or scale_X (length
        and initial scale of factor X) or initial_scale (of all factors)
    log : whether a plot of the axis is logarithmic
    """

    parameter: str
    values: Array
    log: bool = False

    def __post_init__(self) -> None:
        values = check_real_array(f"the axis {self.parameter}", self.values)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise UsageError(f"the axis {self.parameter} is not a list of finite values; give one")
        if values[0] < 0 or (np.diff(values) <= 0).any():
            raise UsageError(
                f"{self.parameter} from {values[0]} to {values[-1]}; give ascending numbers of at "
                "least 0"
            )
        if self.parameter.startswith("dim_") and ((values < 1) | (values % 1 != 0)).any():
            raise UsageError(f"{self.parameter} has a value that is not a positive whole number")
        object.__setattr__(self, "values", values)

    @classmethod
    def between(
        cls, parameter: str, first: float, last: float, n: int, *, log: bool = False
    ) -> Self:
        """Return `n` values with equal differences or, with `log`, equal ratios.

        Dimensions are rounded, so there may be fewer of them.
        """
        n = check_int(f"the number of values of {parameter}", n, 1)
        cls(parameter, np.array([first, last]))  # raises unless these are values of the parameter
        if log and first == 0:
            raise UsageError(f"{parameter} from 0 by equal ratios; start above 0, or leave out log")
        values = (np.geomspace if log else np.linspace)(first, last, n)
        if parameter.startswith("dim_"):
            values = np.unique(np.round(values))
        return cls(parameter, values, log)


def check_axes(model: Model, x: Axis, y: Axis) -> None:
    """Raise `UsageError` unless two axes are different parameters of the model."""
    for axis in (x, y):
        check_type(axis, Axis, "an Axis")
    parts_x, parts_y = (model.parameters.get(axis.parameter, axis.parameter) for axis in (x, y))
    if parts_x == parts_y:
        raise UsageError(
            f"the axes {x.parameter} and {y.parameter} set the same number; choose two parameters"
        )


def batch_at(
    model: Model, dims: dict[str, int], n_draws: int, seed: int, point: dict[str, float]
) -> ProblemBatch:
    """Return random problems at one point of parameter space: the same draws for the same lengths.

    An unknown parameter or a negative seed raises `UsageError`.
    """
    rng = np.random.default_rng(check_int("seed", seed, 0))
    lengths, scales = dict(dims), dict.fromkeys(model.factors, 1.0)
    parameters = {}
    for name, value in point.items():
        kind, _, factor = name.partition("_")
        if name == "initial_scale":
            scales = {f: scale * value for f, scale in scales.items()}
        elif kind == "dim" and factor in model.factors:
            lengths[factor] = int(value)
        elif kind == "scale" and factor in model.factors:
            scales[factor] *= value
        elif name in model.parameters:
            parameters[name] = value
        else:
            raise UsageError(
                f"there is no parameter {name!r}; choose one of {', '.join(model.parameters)}, "
                "initial_scale, or dim_X or scale_X for a factor X of "
                f"{', '.join(model.factors)}"
            )
    scale = np.array([[scales[f]] for f in model.factors])
    return random_batch(model, lengths, n_draws, rng, initial_scale=scale, parameters=parameters)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PhaseDiagram(ArchivedResult):
    """Fates over two parameters.

    x, y : the axes
    fates : (ny, nx, n_draws) index in `FATES`; draw k is the same at all points of the same lengths
    """

    kind: ClassVar[str] = "a saved phase diagram"
    model: Model
    x: Axis
    y: Axis
    fates: NDArray[np.int8]
    provenance: dict[str, Any]

    def counts(self) -> dict[str, int]:
        """Return the number of trajectories with each fate, by its name in lower case."""
        counter = Counter(self.fates.ravel().tolist())
        return {fate.name.lower(): counter[k] for k, fate in enumerate(FATES)}

    def shares(self) -> dict[Fate, Array]:
        """Return the share (ny, nx) of the draws with each fate."""
        return {fate: (self.fates == k).mean(-1) for k, fate in enumerate(FATES)}

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and the axes, without the single fates."""
        axes = {
            name: {
                "parameter": axis.parameter,
                "first": float(axis.values[0]),
                "last": float(axis.values[-1]),
                "n": len(axis.values),
            }
            for name, axis in (("x", self.x), ("y", self.y))
        }
        counts = {"cells": self.fates.size, "fates": self.counts()}
        return counts | axes | {"model": self.model.to_dict(), "provenance": self.provenance}

    @property
    def _title(self) -> str:
        return f"{self.fates.size} trajectories over {self.x.parameter} and {self.y.parameter}"

    def summary(self) -> str:
        """Return a caution if trajectories diverged; count and share of each possible fate."""
        counts = dict(zip(FATES, self.counts().values(), strict=True))
        diverged = counts[Fate.DIVERGED]
        caution = f"CAUTION: {diverged} of {self.fates.size} trajectories diverged; lower the step"
        lines = [
            f"{count:>8}  {count / self.fates.size:>6.1%}  {fate.value}"
            for fate, count in counts.items()
            if count or fate is not Fate.OTHER
        ]
        return "\n".join([*([caution] if diverged else []), self._title, *lines])

    def headline(self) -> str:
        """See `Result`."""
        counts = ", ".join(f"{name} {count}" for name, count in self.counts().items() if count)
        return f"of {self._title}: {counts}"

    def columns(self) -> Mapping[str, Any]:
        """Return the parameters, the draw and the name of the fate of each trajectory."""
        row, column, draw = (index.ravel() for index in np.indices(self.fates.shape))
        names = np.array([fate.name.lower() for fate in FATES])
        values = {self.x.parameter: self.x.values[column], self.y.parameter: self.y.values[row]}
        return values | {"draw": draw, "fate": names[self.fates.ravel()]}

    def plot(self, ax: "Axes | None" = None, *, legend: bool = True) -> "Axes":
        """Plot the most frequent fate at each point; see `coopetition.plot.toy`."""
        from coopetition.plot.toy import plot_phases

        return plot_phases(self, ax=ax, legend=legend)

    def to_archive(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """See `ArchivedResult`."""
        header = {
            "model": self.model.to_dict(),
            "axes": [self.x.parameter, self.y.parameter],
            "log": [self.x.log, self.y.log],
            "fates": [fate.name for fate in FATES],
            "provenance": self.provenance,
        }
        return header, {"x": self.x.values, "y": self.y.values, "fates": self.fates}

    @classmethod
    def from_archive(cls, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """See `ArchivedResult`."""
        x, y = (
            Axis(name, arrays[side], log)
            for name, side, log in zip(header["axes"], "xy", header["log"], strict=True)
        )
        # the file has its own order of fates
        index = np.array([FATES.index(Fate[name]) for name in header["fates"]], np.int8)
        model = Model.from_dict(header["model"])
        return cls(model, x, y, index[arrays["fates"]], header["provenance"])


@add_progress_switch
def phase_diagram(
    model: Model,
    x: Axis,
    y: Axis,
    *,
    n_draws: int,
    n_steps: int = 16000,
    step: float = 1.0,
    dims: dict[str, int] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> PhaseDiagram:
    """Simulate `n_draws` random draws at every pair of values by gradient descent.

    `progress=False` shows no progress.

    Each trajectory is sampled `N_SAMPLES` times: an ICL that is learnt for less than
    n_steps / N_SAMPLES steps can be missed.
    """
    n_draws = check_int("n_draws", n_draws, 1, MAX_DRAWS)
    n_steps = check_int("n_steps", n_steps, 1, MAX_STEPS)
    check_has_fates(m.name for m in model.mechanisms)
    check_axes(model, x, y)
    if len(x.values) * len(y.values) > MAX_POINTS:
        raise UsageError(
            f"{len(x.values)} x {len(y.values)} points are too many for a diagram; choose at most "
            f"{MAX_POINTS}"
        )
    step = check_number("step", step, positive=True)
    lengths = to_dims(model if dims is None else dims)
    points = [{x.parameter: xk, y.parameter: yk} for yk in y.values for xk in x.values]
    for point in (*points[: len(x.values)], *points[:: len(x.values)]):
        batch_at(model, lengths, 1, seed, point)  # a mistake shows before the work begins
    steps = sample_steps(n_steps, N_SAMPLES)
    n_points = max(1, CHUNK // n_draws)
    fates = []
    with ProgressReport("phases", len(points) * n_draws, "trajectories") as report:
        for first in range(0, len(points), n_points):
            chunk = points[first : first + n_points]
            problems = ProblemBatch.concatenate(
                [batch_at(model, lengths, n_draws, seed, point) for point in chunk]
            )
            run = descend_batch(problems, steps, step=step)
            fates.append(classify_fates(run.losses, problems.problem.unlearnt_losses()))
            report.advance(problems.n)
    shape = (len(y.values), len(x.values), n_draws)
    provenance = {"n_steps": n_steps, "step": step, "dims": lengths, "seed": seed}
    return PhaseDiagram(model, x, y, np.concatenate(fates).reshape(shape), provenance)


def grid_shape(n_points: int) -> tuple[int, int]:
    """Return sides (nx, ny) of a nearly square grid of `n_points`, or a few more."""
    if n_points > MAX_POINTS:
        raise UsageError(
            f"{n_points} points are too many for a diagram; choose at most {MAX_POINTS}"
        )
    if n_points < 1:
        raise UsageError(f"{n_points} points make no diagram; choose more cells, or fewer draws")
    while True:
        nx = next(k for k in range(int(n_points**0.5), 0, -1) if n_points % k == 0)
        if nx * 2 >= n_points // nx:
            return n_points // nx, nx
        n_points += 1


def predicted_diagram(
    model: Model, x: Axis, y: Axis, *, n_steps: int = 16000, seed: int = 0
) -> PhaseDiagram:
    """Predict the fate of one random draw by the slow system, from the state after the collapse.

    Only that state is taken from the flow, which is solved to the end.
    """
    n_steps = check_int("n_steps", n_steps, 1, MAX_STEPS)
    check_axes(model, x, y)
    lengths = named_dims(model)
    fates = []
    with ProgressReport("predicted phases", len(x.values) * len(y.values), "points") as progress:
        for yk, xk in itertools.product(y.values, x.values):
            batch = batch_at(model, lengths, 1, seed, {x.parameter: xk, y.parameter: yk})
            flow = solve(*batch.single(0), method="flow", t1=n_steps)
            slow = slow_flow(flow.problem, after_collapse(flow), t_max=float(n_steps))
            fates.append(classify_fates(slow.losses, flow.problem.unlearnt_losses()))
            progress.advance()
    shape = (len(y.values), len(x.values), 1)
    provenance = {"n_steps": n_steps, "dims": lengths, "seed": seed, "by": "slow system"}
    return PhaseDiagram(model, x, y, np.array(fates).reshape(shape), provenance)
