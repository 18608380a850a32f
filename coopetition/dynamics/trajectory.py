"""Trajectories: a solution of the minimal model, its events, and its text, tables and plots."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coopetition.dynamics.events import (
    FATES,
    LEARNT_BELOW,
    Events,
    Fate,
    classify_fates,
    excess,
    find_events,
)
from coopetition.dynamics.laws import LawCheck, check_law
from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState
from coopetition.model.laws import norm_laws
from coopetition.model.reduced import Problem, State
from coopetition.tools.checks import check_real_array
from coopetition.tools.errors import UsageError, check_type
from coopetition.tools.files import wrap_text
from coopetition.tools.results import ArchivedResult
from coopetition.tools.versions import package_version

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


class Status(Enum):
    """The end of a solution; the value is the sentence for the reader."""

    STOPPED = "the loss fell below the threshold"
    LIMIT = "the end of the given time was reached; give it more to go further"
    AT_REST = "nothing moves: the start is a critical point, or all is clamped"
    DIVERGED = "the loss grew without bound; lower the step size"
    FAILED = "the flow is too stiff for the integrator; use descent, or a shorter time"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Trajectory(ArchivedResult):
    """A solution of the minimal model.

    problem : the problem that was solved
    times : (n,) flow time; for descent, steps x step size.  All steps of the solver are among the
        samples, because events, fates and laws are computed from them.
    overlap, orthogonal : (n_factors, n) u and w of each factor, in the model's order
    losses : name -> (n,) each mechanism's loss, each cost, and `total`
    n_steps : number of descent steps; None for the flow
    provenance : method, settings and versions
    """

    kind: ClassVar[str] = "a saved trajectory"
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
        """Return sample `k`; -1 is the last."""
        u, w = (part[:, k].tolist() for part in (self.overlap, self.orthogonal))
        return State(self.model.factors, u, w, float(self.times[k]))

    def samples_at(self, times: ArrayLike) -> NDArray[np.intp]:
        """Return the index of the sample at each time, as in `losses["icl"][k]`, `overlap[:, k]`.

        For descent this is the nearest step.  The flow has the times `ts` given to `solve`, and the
        integrator's own; another time, or one past the end, raises `UsageError`.
        """
        times = np.atleast_1d(check_real_array("times", times))
        found = np.array([np.abs(self.times - time).argmin() for time in times], np.intp)
        reach = self.provenance["step"] / 2 if self.provenance["method"] == "descent" else 0.0
        missed = times[~(np.abs(self.times[found] - times) <= reach + 1e-12 * np.abs(times))]
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
        """Return a mechanism's loss relative to the unlearnt one, minus the learnt level."""
        return excess(self.losses[mechanism], self.problem.unlearnt_losses()[mechanism])

    def events(self, strategy: str | None = None, rival: str | None = None) -> Events:
        """Find emergence, peak, crossing and unlearning of a mechanism, and its rival's takeover.

        By default these are the model's first mechanism (ICL in all presets) and its second.  A
        model of one mechanism has no crossing and no takeover.
        """
        strategy, rival = self._pair(strategy, rival)
        against = None if rival is None else self.excess(rival)
        return find_events(self.times, self.excess(strategy), against)

    def _pair(self, strategy: str | None, rival: str | None) -> tuple[str, str | None]:
        names = [m.name for m in self.model.mechanisms]
        first = names[0] if strategy is None else self.model.mechanism(strategy).name
        others = [name for name in names if name != first]
        if rival is not None and rival not in others:
            raise UsageError(
                f"{rival!r} is not a rival of {first}; choose one of {', '.join(others) or 'none'}"
            )
        return first, rival or next(iter(others), None)

    def fate(self) -> Fate:
        """Return the fate of ICL and CIWL, from all samples.

        Raises `UsageError` for a model without mechanisms of these names: see `events`.
        """
        return FATES[int(classify_fates(self.losses, self.problem.unlearnt_losses()))]

    def final_losses(self) -> dict[str, float]:
        """Return the losses at the last time, by name."""
        return {name: float(values[-1]) for name, values in self.losses.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome without the curves."""
        return {
            "stopped_at": self.stopped_at,
            "n_steps": self.n_steps,
            "status": self.status.name.lower(),
            "message": self.status.value,
            "time": float(self.times[-1]),
            "losses": self.final_losses(),
            "events": asdict(self.events()),
            "laws": {check.law.name: check.drift for check in check_laws(self)},
            "model": self.model.to_dict(),
            "provenance": self.provenance,
        }

    def summary(self) -> str:
        """Return the outcome in a few lines of text."""
        strategy, rival = self._pair(None, None)
        titles = {
            "emergence": ("emergence", f"{strategy} is learnt"),
            "peak": ("peak", "its loss is lowest"),
            "crossing": ("crossing", f"{rival} becomes the better learnt"),
            "unlearning": ("unlearning", f"{strategy} is no longer learnt"),
            "takeover": (f"takeover by {rival}", f"{rival} is learnt"),
        }
        if rival is None:
            del titles["crossing"], titles["takeover"]
        times = asdict(self.events())
        events = "  ".join(
            f"{title} {'never' if times[name] is None else f'{times[name]:.6g}'}"
            for name, (title, _) in titles.items()
        )
        meanings = "; ".join(f"{name}: {meaning}" for name, (_, meaning) in titles.items())
        laws = (f"{check.law.name} to {check.drift:.1e}" for check in check_laws(self))
        rows = {
            "status": f"{self.status.value} (time {self.times[-1]:.6g})",
            "losses": "  ".join(f"{name} {x:.6g}" for name, x in self.final_losses().items()),
            "events": f"{strategy}: {events}",
            "laws": ", ".join(laws) or "none",
            "meaning": f"learnt: a loss below {LEARNT_BELOW:g} of the unlearnt one; {meanings}",
        }
        return "\n".join(
            wrap_text(f"{title:8} {text}", indent=9 * " ") for title, text in rows.items()
        )

    def headline(self) -> str:
        """See `Result`."""
        return (
            f"of {len(self.times)} samples by {self.provenance['method']}, "
            f"{', '.join(self.losses)}: {self.status.name.lower()} at time {self.times[-1]:.6g}"
        )

    def columns(self) -> Mapping[str, Any]:
        """Return time, every loss, and overlap_X and orthogonal_X of every factor X."""
        columns = {"time": self.times, **self.losses}
        for name, values in (("overlap", self.overlap), ("orthogonal", self.orthogonal)):
            columns |= {f"{name}_{f}": x for f, x in zip(self.model.factors, values, strict=True)}
        return columns

    def to_archive(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """See `ArchivedResult`."""
        header = {
            "model": self.model.to_dict(),
            "dims": self.problem.dims,
            "norms": self.problem.norms,
            "status": self.status.name,
            "n_steps": self.n_steps,
            "provenance": self.provenance,
            "losses": list(self.losses),
        }
        arrays = {
            "start": np.array(self.problem.start.entries),
            "times": self.times,
            "overlap": self.overlap,
            "orthogonal": self.orthogonal,
            "losses": np.stack(list(self.losses.values())),
        }
        return header, arrays

    @classmethod
    def from_archive(cls, header: dict[str, Any], arrays: Mapping[str, Array]) -> Self:
        """See `ArchivedResult`."""
        model = Model.from_dict(header["model"])
        entries, n = arrays["start"].tolist(), len(model.factors)
        start = State(model.factors, entries[:n], entries[n:])
        return cls(
            Problem.from_numbers(model, header["dims"], header["norms"], start=start),
            arrays["times"],
            arrays["overlap"],
            arrays["orthogonal"],
            dict(zip(header["losses"], arrays["losses"], strict=True)),
            Status[header["status"]],
            header["n_steps"],
            header["provenance"],
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Plot the losses of the mechanisms and the total against time."""
        from coopetition.plot.toy import plot_losses

        return plot_losses(self, ax=ax)

    def plot_state(self, ax: "Axes | None" = None) -> "Axes":
        """Plot overlaps and orthogonal parts of the factors against time."""
        from coopetition.plot.toy import plot_state

        return plot_state(self, ax=ax)


def check_laws(trajectory: Trajectory) -> list[LawCheck]:
    """Compare a trajectory with its model's laws of the norms; see `coopetition.dynamics.laws`.

    Descent and the flow have these laws, other optimisers have none.
    """
    check_type(trajectory, Trajectory, "a Trajectory")
    provenance = trajectory.provenance
    if provenance["method"] not in ("descent", "flow"):
        return []
    step = provenance["step"] if provenance["method"] == "descent" else None
    with np.errstate(over="ignore", invalid="ignore"):  # where descent has diverged
        return [
            check_law(law, trajectory.problem, trajectory.times, trajectory.states, step)
            for law in norm_laws(trajectory.model)
        ]


def make_problem(model: Model, draw: InitialState) -> Problem:
    """Return the problem of an initial state; `UsageError` if its loss is beyond floating point."""
    problem = Problem(model, draw)
    if not np.isfinite(problem.losses(problem.start)["total"]):
        raise UsageError(
            "the loss of this draw is too large for floating point; choose a smaller one"
        )
    return problem


def build_trajectory(
    problem: Problem,
    times: Array,
    states: Array,
    status: Status,
    n_steps: int | None,
    settings: dict[str, Any],
) -> Trajectory:
    """Return the trajectory of states (2 * n_factors, n), laid out as `State.entries`."""
    if status is Status.LIMIT and not np.any(problem.velocity(problem.start).entries):
        status = Status.AT_REST
    n = len(problem.model.factors)
    with np.errstate(over="ignore", invalid="ignore"):  # where descent has diverged
        losses = problem.losses(problem.start.with_entries(list(states)))
    versions = {name: package_version(name) for name in ("coopetition", "numpy", "scipy")}
    provenance = settings | {"versions": versions}
    return Trajectory(problem, times, states[:n], states[n:], losses, status, n_steps, provenance)
