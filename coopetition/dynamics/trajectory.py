"""The result of solving the minimal model: a trajectory that can be read, kept and drawn."""

import json
from dataclasses import asdict, dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coopetition.dynamics.events import (
    FATES,
    LEARNT_BELOW,
    Events,
    Fate,
    excess,
    tell_events,
    tell_fates,
)
from coopetition.model.graph import Model
from coopetition.model.initial_state import Draw
from coopetition.model.reduced import Problem, State
from coopetition.tools.checks import check_real_array
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import ARCHIVE_ERRORS, check_archive, html_table, to_frame, write_npz

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Array = NDArray[np.float64]


class Status(Enum):
    """How a solution ended; the value is the sentence for the reader."""

    STOPPED = "the loss fell below the threshold"
    LIMIT = "the end of the given time was reached; give it more to go further"
    AT_REST = "nothing moves: the start is a critical point, or all is clamped"
    DIVERGED = "the loss grew without bound; lower the step size"
    FAILED = "the flow is too stiff for the integrator; use descent, or a shorter time"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trajectory:
    """A solution of the minimal model.

    problem : what was solved
    times : (n,) flow time; for descent, steps x step size.  All of the solver's own steps are
        there, for events, fates and laws are read off them.
    overlap, orthogonal : (n_factors, n) u and w of each factor, in the model's order
    losses : name -> (n,) each mechanism's loss, each cost, and `total`
    n_steps : how many steps descent took; None for the flow
    provenance : method, settings and versions
    """

    problem: Problem
    times: Array
    overlap: Array
    orthogonal: Array
    losses: dict[str, Array]
    status: Status
    n_steps: int | None
    provenance: dict[str, Any]

    @property
    def model(self) -> Model:
        """The model that was solved."""
        return self.problem.model

    @property
    def states(self) -> State:
        """All states as one whose entries are curves: `trajectory.states["d"].overlap`."""
        return State(self.model.factors, list(self.overlap), list(self.orthogonal))

    def state(self, k: int) -> State:
        """Sample `k`; -1 is the last."""
        u, w = (part[:, k].tolist() for part in (self.overlap, self.orthogonal))
        return State(self.model.factors, u, w, float(self.times[k]))

    def samples_at(self, times: ArrayLike) -> NDArray[np.intp]:
        """Index of the sample at each of these times, as in `losses["icl"][k]`, `overlap[:, k]`.

        That of descent is the nearest step.  The flow has those times that it was asked for (`ts`
        of `solve`), and the integrator's own; another time, or one past the end: `UsageError`.
        """
        asked = np.atleast_1d(check_real_array("times", times))
        found = np.array([np.abs(self.times - time).argmin() for time in asked], np.intp)
        reach = self.provenance["step"] / 2 if self.provenance["method"] == "descent" else 0.0
        missed = asked[~(np.abs(self.times[found] - asked) <= reach + 1e-12 * np.abs(asked))]
        if len(missed):
            raise UsageError(
                f"there is no sample at time {missed[0]:g} and the last is at {self.times[-1]:g}; "
                "choose times up to there, and give those of a flow as `ts` when you solve"
            )
        return found

    @property
    def stopped_at(self) -> float | None:
        """The time at which the loss fell below the threshold; None if it did not."""
        return float(self.times[-1]) if self.status is Status.STOPPED else None

    def excess(self, mechanism: str) -> Array:
        """A mechanism's loss over what it is unlearnt, less the level at which it is learnt."""
        return excess(self.losses[mechanism], self.problem.unlearnt()[mechanism])

    def events(self, strategy: str | None = None, rival: str | None = None) -> Events:
        """Emergence, peak, crossing and unlearning of a mechanism, and takeover by its rival.

        By default of the model's first mechanism (ICL in all that have a name), against its second.
        A model of one mechanism has no crossing and no takeover.
        """
        strategy, rival = self._pair(strategy, rival)
        against = None if rival is None else self.excess(rival)
        return tell_events(self.times, self.excess(strategy), against)

    def _pair(self, strategy: str | None, rival: str | None) -> tuple[str, str | None]:
        names = [m.name for m in self.model.mechanisms]
        first = names[0] if strategy is None else self.model.mechanism(strategy).name
        others = [name for name in names if name != first]
        if rival is not None and rival not in others:
            raise UsageError(
                f"{rival!r} is no rival of {first}; choose out of {', '.join(others) or 'none'}"
            )
        return first, rival or next(iter(others), None)

    def fate(self) -> Fate:
        """What becomes of ICL and CIWL, from every one of the samples.

        Raises `UsageError` for a model without mechanisms of these names: see `events`.
        """
        return FATES[int(tell_fates(self.losses, self.problem.unlearnt()))]

    def final_losses(self) -> dict[str, float]:
        """Losses at the last time, by name."""
        return {name: float(values[-1]) for name, values in self.losses.items()}

    def to_dict(self) -> dict[str, Any]:
        """The outcome without the curves."""
        return {
            "stopped_at": self.stopped_at,
            "n_steps": self.n_steps,
            "status": self.status.name.lower(),
            "message": self.status.value,
            "time": float(self.times[-1]),
            "losses": self.final_losses(),
            "events": asdict(self.events()),
            "model": self.model.to_dict(),
            "provenance": self.provenance,
        }

    def rows(self) -> dict[str, str]:
        """The outcome in a few lines of text, by their titles."""
        strategy, rival = self._pair(None, None)
        found = asdict(self.events())
        if rival is None:
            found = {name: found[name] for name in ("emergence", "peak", "unlearning")}
        else:
            found[f"takeover by {rival}"] = found.pop("takeover")
        meanings = [
            f"learnt: a loss below {LEARNT_BELOW:g} of what it is when nothing is learnt",
            f"emergence: {strategy} is learnt",
            "peak: its loss is lowest",
            f"unlearning: {strategy} is no longer learnt",
        ]
        if rival is not None:
            meanings[3:3] = [f"crossing: {rival} becomes the better learnt"]
            meanings += [f"takeover: {rival} is learnt"]
        events = "  ".join(
            f"{name} {'never' if time is None else f'{time:.6g}'}" for name, time in found.items()
        )
        return {
            "status": f"{self.status.value} (time {self.times[-1]:.6g})",
            "losses": "  ".join(f"{name} {x:.6g}" for name, x in self.final_losses().items()),
            "events": f"{strategy}: {events}",
            "meaning": "; ".join(meanings),
        }

    def summary(self) -> str:
        """The outcome in a few lines of text."""
        return "\n".join(f"{title:8} {text}" for title, text in self.rows().items())

    def __repr__(self) -> str:
        return (
            f"<Trajectory of {len(self.times)} samples by {self.provenance['method']}, "
            f"{', '.join(self.losses)}: {self.status.name.lower()} at time {self.times[-1]:.6g}>"
        )

    def _repr_html_(self) -> str:
        laws = {"laws": "`coopetition.check_laws(trajectory)` tells how well they are kept"}
        return html_table((self.rows() | laws).items())

    def to_frame(self) -> "DataFrame":
        """A row a sample: time, every loss, overlap_X and orthogonal_X of every factor X."""
        columns = {"time": self.times, **self.losses}
        for kind, values in (("overlap", self.overlap), ("orthogonal", self.orthogonal)):
            columns |= {f"{kind}_{f}": x for f, x in zip(self.model.factors, values, strict=True)}
        return to_frame(columns)

    def save(self, path: Path | str) -> None:
        """Write everything to an `.npz` file."""
        header = {
            "model": self.model.to_dict(),
            "dims": self.problem.dims,
            "norms": self.problem.norms,
            "status": self.status.name,
            "n_steps": self.n_steps,
            "provenance": self.provenance,
            "losses": list(self.losses),
        }
        write_npz(
            Path(path),
            header=np.array(json.dumps(header)),
            start=np.array(self.problem.start.entries),
            times=self.times,
            overlap=self.overlap,
            orthogonal=self.orthogonal,
            losses=np.stack(list(self.losses.values())),
        )

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote; another file raises `UserError`."""
        check_archive(Path(path), "a saved trajectory")
        try:
            with np.load(path) as archive:
                header = json.loads(str(archive["header"]))
                model = Model.from_dict(header["model"])
                at = archive["start"].tolist()
                n = len(model.factors)
                start = State(model.factors, at[:n], at[n:])
                return cls(
                    Problem.of_numbers(model, header["dims"], header["norms"], start=start),
                    archive["times"],
                    archive["overlap"],
                    archive["orthogonal"],
                    dict(zip(header["losses"], archive["losses"], strict=True)),
                    Status[header["status"]],
                    header["n_steps"],
                    header["provenance"],
                )
        except (OSError, *ARCHIVE_ERRORS) as error:
            raise UserError(f"{path} is not a saved trajectory ({error})") from error

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Losses of the mechanisms and the total against time; see `coopetition.plot`."""
        from coopetition.plot.toy import plot_losses

        return plot_losses(self, ax=ax)

    def plot_state(self, ax: "Axes | None" = None) -> "Axes":
        """Overlaps and orthogonal parts of the factors against time; see `coopetition.plot`."""
        from coopetition.plot.toy import plot_state

        return plot_state(self, ax=ax)


def pose(model: Model, draw: Draw) -> Problem:
    """The problem of a draw; `UsageError` where its loss is too large for floating point."""
    problem = Problem(model, draw)
    if not np.isfinite(problem.losses(problem.start)["total"]):
        raise UsageError(
            "the loss of this draw is too large for floating point; choose a smaller one"
        )
    return problem


def finish(
    problem: Problem,
    times: Array,
    states: Array,
    status: Status,
    n_steps: int | None,
    settings: dict[str, Any],
) -> Trajectory:
    """The trajectory of states (2 * n_factors, n), as `State.entries`."""
    if status is Status.LIMIT and not np.any(problem.velocity(problem.start).entries):
        status = Status.AT_REST
    n = len(problem.model.factors)
    with np.errstate(over="ignore", invalid="ignore"):  # where descent has diverged
        losses = problem.losses(problem.start.with_entries(list(states)))
    versions = {name: version(name) for name in ("coopetition", "numpy", "scipy")}
    provenance = settings | {"versions": versions}
    return Trajectory(problem, times, states[:n], states[n:], losses, status, n_steps, provenance)
