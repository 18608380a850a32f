"""Parameters by name: axes through them, and random problems at a point.

Phase diagrams: fates of many trajectories over two parameters, simulated and predicted.
"""

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.dynamics.ensemble import Ensemble, descend_ensemble, random_ensemble, sample_steps
from coopetition.dynamics.events import FATES, Fate, check_told, tell_fates
from coopetition.dynamics.solve import MAX_STEPS, solve
from coopetition.model.graph import Model
from coopetition.model.presets import named_dims
from coopetition.theory.times import after_collapse, slow_flow
from coopetition.tools.checks import check_int, check_number, check_real_array
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, UserError, check_type
from coopetition.tools.files import ARCHIVE_ERRORS, check_archive, html_table, to_frame, write_npz

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A parameter and the values that a diagram takes it through.

    parameter : one of the model's (`Model.replace`: mu1, mu2, ..., alpha), dim_X or scale_X (length
        and initial scale of factor X) or initial_scale (of all factors)
    log : are they even on a logarithmic scale?
    """

    parameter: str
    values: Array
    log: bool = False

    def __post_init__(self) -> None:
        values = check_real_array(f"the axis {self.parameter}", self.values)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise UsageError(f"the axis {self.parameter} is no list of finite values; give one")
        if (np.diff(values) <= 0).any():
            raise UsageError(f"the values of {self.parameter} do not ascend; sort them, each once")
        if self.parameter.startswith("dim_") and ((values < 1) | (values % 1 != 0)).any():
            raise UsageError(f"{self.parameter} has a value that is no whole number of at least 1")
        object.__setattr__(self, "values", values)

    @classmethod
    def between(
        cls, parameter: str, first: float, last: float, n: int, *, log: bool = False
    ) -> Self:
        """`n` values, by equal differences or, with `log`, equal ratios.

        Dimensions are rounded, and may therefore be fewer.
        """
        if not (np.isfinite([first, last]).all() and 0 <= first < last):
            raise UsageError(
                f"{parameter} from {first} to {last}; give two numbers of at least 0, ascending"
            )
        if n < 1:
            raise UsageError(f"{n} values of {parameter}; choose at least 1")
        if log and first == 0:
            raise UsageError(f"{parameter} from 0 by equal ratios; start above 0, or leave out log")
        values = (np.geomspace if log else np.linspace)(first, last, n)
        if parameter.startswith("dim_"):
            if first < 1 or first % 1 or last % 1:
                raise UsageError(
                    f"{parameter} from {first} to {last}; a dimension is a whole number of at "
                    "least 1"
                )
            values = np.unique(np.round(values))
        return cls(parameter, values, log)


def check_axes(model: Model, x: Axis, y: Axis) -> None:
    """Raise `UsageError` unless two axes are of different numbers of the model."""
    for axis in (x, y):
        check_type(axis, Axis, "an Axis")
    sets_x, sets_y = (model.parameters.get(axis.parameter, axis.parameter) for axis in (x, y))
    if sets_x == sets_y:
        raise UsageError(
            f"the axes {x.parameter} and {y.parameter} set the same number; choose two parameters"
        )


def ensemble_at(
    model: Model, dims: dict[str, int], n_draws: int, seed: int, point: dict[str, float]
) -> Ensemble:
    """Random problems at one point of parameter space; the same draws for the same lengths.

    An unknown parameter, one that the model does not have, or a negative seed: `UsageError`.
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
        else:
            parameters[name] = value
    unknown = set(parameters) - set(model.parameters)
    if unknown:
        raise UsageError(
            f"there is no parameter {min(unknown)!r}; choose one of "
            f"{', '.join(model.parameters)}, initial_scale, or dim_X or scale_X for a factor X of "
            f"{', '.join(model.factors)}"
        )
    scale = np.array([[scales[f]] for f in model.factors])
    return random_ensemble(model, lengths, n_draws, rng, initial_scale=scale, parameters=parameters)


N_SAMPLES = 500  # of a trajectory, by which its fate is told
MAX_POINTS = 10**6
MAX_DRAWS = 20_000  # at a point, whose curves are in memory at once: 32 KB each
CHUNK = 2048  # problems whose curves are in memory at once


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PhaseDiagram:
    """Fates over two parameters.

    x, y : the axes
    fates : (ny, nx, n_draws) index in `FATES`; draw k is the same in every cell of the same lengths
    """

    model: Model
    x: Axis
    y: Axis
    fates: NDArray[np.int8]
    provenance: dict[str, Any]

    def counts(self) -> dict[str, int]:
        """How many trajectories met each fate, by its name in lower case."""
        found = Counter(self.fates.ravel().tolist())
        return {each.name.lower(): found.get(k, 0) for k, each in enumerate(FATES)}

    def probability(self, fate: Fate) -> Array:
        """(ny, nx) share of the draws that meet a fate."""
        return (self.fates == FATES.index(fate)).mean(-1)

    def shares(self) -> dict[Fate, Array]:
        """`probability` of every fate."""
        return {each: self.probability(each) for each in FATES}

    def to_dict(self) -> dict[str, Any]:
        """The counts and the axes, without the single fates."""
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

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the count, share and sentence of each fate that the model can have."""
        return [
            (str(count), f"{count / self.fates.size:.1%}", fate.value)
            for fate, count in zip(FATES, self.counts().values(), strict=True)
            if count or fate is not Fate.OTHER
        ]

    def summary(self) -> str:
        """The counts in a few lines."""
        lines = [f"{count:>8}  {share:>6}  {fate}" for count, share, fate in self.rows()]
        return "\n".join([self._title, *lines])

    def __repr__(self) -> str:
        met = ", ".join(f"{name} {count}" for name, count in self.counts().items() if count)
        return f"<PhaseDiagram of {self._title}: {met}>"

    def _repr_html_(self) -> str:
        counts = [(fate, count, share) for count, share, fate in self.rows()]
        return html_table([(self._title,), *counts])

    def to_frame(self) -> "DataFrame":
        """A row a trajectory: the two parameters, the draw and the fate's name in lower case."""
        row, column, draw = (index.ravel() for index in np.indices(self.fates.shape))
        names = np.array([each.name.lower() for each in FATES])
        values = {self.x.parameter: self.x.values[column], self.y.parameter: self.y.values[row]}
        return to_frame(values | {"draw": draw, "fate": names[self.fates.ravel()]})

    def plot(self, ax: "Axes | None" = None, *, legend: bool = True) -> "Axes":
        """The most frequent fate at each point; see `coopetition.plot.toy`."""
        from coopetition.plot.toy import plot_phases

        return plot_phases(self, ax=ax, legend=legend)

    def save(self, path: Path | str) -> None:
        """Write everything to an `.npz` file."""
        header = {
            "model": self.model.to_dict(),
            "axes": [self.x.parameter, self.y.parameter],
            "log": [self.x.log, self.y.log],
            "fates": [each.name for each in FATES],
            "provenance": self.provenance,
        }
        write_npz(
            Path(path),
            header=np.array(json.dumps(header)),
            x=self.x.values,
            y=self.y.values,
            fates=self.fates,
        )

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote; another file raises `UserError`."""
        check_archive(Path(path), "a saved phase diagram")
        try:
            with np.load(path) as archive:
                header = json.loads(str(archive["header"]))
                x, y = (
                    Axis(name, archive[side], log)
                    for name, side, log in zip(header["axes"], "xy", header["log"], strict=True)
                )
                order = [Fate[name] for name in header["fates"]]
                place = np.array([FATES.index(each) for each in order], np.int8)
                return cls(
                    Model.from_dict(header["model"]),
                    x,
                    y,
                    place[archive["fates"]],
                    header["provenance"],
                )
        except (OSError, *ARCHIVE_ERRORS) as error:
            raise UserError(f"{path} is not a saved phase diagram ({error})") from error


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
) -> PhaseDiagram:
    """Fates of `n_draws` random draws at every pair of values, by gradient descent.

    Each trajectory is looked at `N_SAMPLES` times: an ICL that is learnt for less than
    n_steps / N_SAMPLES steps can be missed.
    """
    n_draws = check_int("n_draws", n_draws, 1, MAX_DRAWS)
    n_steps = check_int("n_steps", n_steps, 1, MAX_STEPS)
    check_told(m.name for m in model.mechanisms)
    check_axes(model, x, y)
    if len(x.values) * len(y.values) > MAX_POINTS:
        raise UsageError(f"{len(x.values)} x {len(y.values)} points are too many for a diagram")
    step = check_number("step", step, positive=True)
    lengths = named_dims(model) if dims is None else dims
    points = [{x.parameter: xk, y.parameter: yk} for yk in y.values for xk in x.values]
    for point in (*points[: len(x.values)], *points[:: len(x.values)]):
        ensemble_at(model, lengths, 1, seed, point)  # a mistake shows before the work begins
    at = sample_steps(n_steps, N_SAMPLES)
    n_points = max(1, CHUNK // n_draws)
    fates = []
    with ProgressReport("phases", len(points) * n_draws, "trajectories") as progress:
        for first in range(0, len(points), n_points):
            problems = Ensemble.joined(
                [
                    ensemble_at(model, lengths, n_draws, seed, point)
                    for point in points[first : first + n_points]
                ]
            )
            run = descend_ensemble(problems, at, step=step)
            fates.append(tell_fates(run.losses, problems.problem.unlearnt()))
            progress.advance(problems.n)
    shape = (len(y.values), len(x.values), n_draws)
    provenance = {"n_steps": n_steps, "step": step, "dims": lengths, "seed": seed}
    return PhaseDiagram(model, x, y, np.concatenate(fates).reshape(shape), provenance)


def grid_of(n_points: int) -> tuple[int, int]:
    """Sides (nx, ny) of a grid of at least `n_points`, as few as make it near to square."""
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
    """Fates of one random draw by the slow system, from the state after the collapse.

    That state is found in a flow that is solved to the end; the slow system knows no more of it.
    """
    n_steps = check_int("n_steps", n_steps, 1, MAX_STEPS)
    check_axes(model, x, y)
    lengths = named_dims(model)
    fates = []
    with ProgressReport("predicted phases", len(x.values) * len(y.values), "points") as progress:
        for yk, xk in itertools.product(y.values, x.values):
            problem = ensemble_at(model, lengths, 1, seed, {x.parameter: xk, y.parameter: yk})
            trajectory = solve(*problem.single(0), method="flow", t1=n_steps)
            state = after_collapse(trajectory)
            slow = slow_flow(trajectory.problem, state, t_max=float(n_steps))
            fates.append(tell_fates(slow.losses, trajectory.problem.unlearnt()))
            progress.advance()
    shape = (len(y.values), len(x.values), 1)
    provenance = {"n_steps": n_steps, "dims": lengths, "seed": seed, "by": "slow system"}
    return PhaseDiagram(model, x, y, np.array(fates).reshape(shape), provenance)
