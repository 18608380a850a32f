"""The result of solving the minimal model: a trajectory that can be read, kept and drawn."""

import json
import math
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.model.declaration import Model
from coopetition.model.presets import CIWL, ICL
from coopetition.model.problem import Reduced
from coopetition.solve.outcomes import crossing_time
from coopetition.theory.laws import LawCheck, check_laws
from coopetition.theory.stability import spectrum
from coopetition.tools.errors import UserError
from coopetition.tools.files import NOT_AN_ARCHIVE, write_npz

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]


class Status(Enum):
    """How a solution ended; the value is the sentence for the reader."""

    STOPPED = "the loss fell below the threshold"
    LIMIT = "the step limit was reached; raise max_steps to go further"
    AT_REST = "nothing moves: the start is a critical point, or all is clamped"
    DIVERGED = "the loss grew without bound; lower the step size"
    FAILED = "the integrator gave up; use descent, loosen rtol and atol, or shorten the time"


@dataclass(frozen=True, slots=True)
class Events:
    """Times (in units of flow time: steps x step size) of what happens to ICL; None if it does not.

    The level is half of a mechanism's unlearnt loss k.
    """

    emergence: float | None
    """ICL's loss first falls through k1/2."""
    peak: float | None
    """ICL's loss is lowest, after emergence; None if it falls to the end."""
    crossing: float | None
    """CIWL becomes the better learnt of the two (L2/k2 < L1/k1), after emergence."""
    fade: float | None
    """ICL's loss rises through k1/2 again, after its peak."""
    takeover: float | None
    """CIWL's loss first falls through k2/2."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A solution of the minimal model.

    times : (n,) flow time; for descent, steps x step size
    overlap, orthogonal : (n_factors, n) u and w of each factor, in the model's order
    losses : name -> (n,) each mechanism's loss, each cost, and `total`
    dims, norms : each factor's length and the norm of its target
    stopped_at : the step (descent) or time (flow) at which the loss fell below the threshold
    provenance : method, parameters and versions
    """

    model: Model
    times: Array
    overlap: Array
    orthogonal: Array
    losses: dict[str, Array]
    dims: dict[str, int]
    norms: dict[str, float]
    status: Status
    stopped_at: float | None
    provenance: dict[str, Any]

    @property
    def reduced(self) -> Reduced:
        """The problem that was solved."""
        return Reduced(self.model, self.dims, self.norms)

    def events(self) -> Events:
        """Emergence, peak, crossing and fade of ICL, and takeover by CIWL."""
        t, unlearnt = self.times, self.reduced.unlearnt()
        # relative to what they are unlearnt; a model without the mechanism never learns it
        icl, ciwl = (
            self.losses[name] / unlearnt[name] if name in self.losses else np.ones(len(t))
            for name in (ICL, CIWL)
        )
        takeover = crossing_time(t, ciwl, 0.5, rising=False)
        emergence = crossing_time(t, icl, 0.5, rising=False)
        if emergence is None:
            return Events(None, None, None, None, takeover)
        crossing = crossing_time(t, icl - ciwl, 0.0, rising=True, after=emergence)
        lowest = np.argmin(np.where(t >= emergence, icl, np.inf))
        if lowest == len(t) - 1:
            return Events(emergence, None, crossing, None, takeover)
        peak = float(t[lowest])
        fade = crossing_time(t, icl, 0.5, rising=True, after=peak)
        return Events(emergence, peak, crossing, fade, takeover)

    def laws(self) -> list[LawCheck]:
        """How well the solution keeps its norm laws (`coopetition.theory.laws`)."""
        return check_laws(self)

    def largest_stable_step(self) -> float:
        """What the Hessian allows descent where the loss was lowest: 2 / its largest eigenvalue.

        Elsewhere it may allow less.  NaN where the Hessian is too large for floating point.
        """
        total = self.losses["total"]
        lowest = int(np.argmin(np.where(np.isfinite(total), total, np.inf)))
        u, w = (part[:, lowest].tolist() for part in (self.overlap, self.orthogonal))
        return spectrum(self.reduced, u, w).largest_stable_step

    @property
    def message(self) -> str:
        """How it ended, in a sentence."""
        if self.status is not Status.DIVERGED:
            return self.status.value
        limit = self.largest_stable_step()
        return f"{self.status.value} (where the loss was lowest, up to {limit:.3g} is stable)"

    def final_losses(self) -> dict[str, float]:
        """Losses at the last time, by name."""
        return {name: float(values[-1]) for name, values in self.losses.items()}

    def to_dict(self) -> dict[str, Any]:
        """The outcome without the curves; losses that are not finite are None."""
        stopped = self.stopped_at
        if stopped is not None and self.provenance["method"] == "descent":
            stopped = int(stopped)
        return {
            "stopped_at": stopped,
            "status": self.status.name.lower(),
            "message": self.message,
            "time": float(self.times[-1]),
            "losses": {
                name: value if math.isfinite(value) else None
                for name, value in self.final_losses().items()
            },
            "events": asdict(self.events()),
            "laws": {check.law.name: check.drift for check in self.laws()},
            "model": self.model.to_dict(),
            "provenance": self.provenance,
        }

    def summary(self) -> str:
        """The outcome in a few lines of text."""
        losses = "  ".join(f"{name} {value:.6g}" for name, value in self.final_losses().items())
        found = "  ".join(
            f"{name} {'never' if time is None else f'{time:.6g}'}"
            for name, time in asdict(self.events()).items()
        )
        kept = ", ".join(f"{check.law.name} to {check.drift:.1e}" for check in self.laws())
        return "\n".join(
            [
                f"status   {self.message} (time {self.times[-1]:.6g})",
                f"losses   {losses}",
                f"events   {found}",
                f"laws     {kept or 'none'}",
            ]
        )

    def save(self, path: Path | str) -> None:
        """Write everything to an `.npz` file."""
        header = {
            "model": self.model.to_dict(),
            "dims": self.dims,
            "norms": self.norms,
            "status": self.status.name,
            "stopped_at": self.stopped_at,
            "provenance": self.provenance,
            "losses": list(self.losses),
        }
        write_npz(
            Path(path),
            header=np.array(json.dumps(header)),
            times=self.times,
            overlap=self.overlap,
            orthogonal=self.orthogonal,
            losses=np.stack(list(self.losses.values())),
        )

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote; another file raises `UserError`."""
        try:
            with np.load(path) as archive:
                header = json.loads(str(archive["header"]))
                return cls(
                    Model.from_dict(header["model"]),
                    archive["times"],
                    archive["overlap"],
                    archive["orthogonal"],
                    dict(zip(header["losses"], archive["losses"], strict=True)),
                    header["dims"],
                    header["norms"],
                    Status[header["status"]],
                    header["stopped_at"],
                    header["provenance"],
                )
        except (OSError, *NOT_AN_ARCHIVE) as error:
            raise UserError(f"{path} is not a saved trajectory ({error})") from error

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Losses of the mechanisms and the total against time; see `coopetition.plot`."""
        from coopetition.plot.trajectories import plot_losses

        return plot_losses(self, ax=ax)

    def plot_state(self, ax: "Axes | None" = None) -> "Axes":
        """Overlaps and orthogonal parts of the factors against time; see `coopetition.plot`."""
        from coopetition.plot.trajectories import plot_state

        return plot_state(self, ax=ax)
