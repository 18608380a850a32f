"""Measured curves against sequences seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from coopetition.model.presets import CIWL, ICL
from coopetition.tools.checks import check_bound
from coopetition.tools.errors import UsageError, abbreviate, check_type
from coopetition.tools.results import JsonResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

FITTED_CURVES = ("train", ICL, CIWL)  # a fit uses those that were measured
FLIP = "flip"
METRICS = ("loss", "in_context_loss", "accuracy", "in_context_accuracy")  # that are fitted


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Curves(JsonResult):
    """Curves over common samples.

    Lists, series, tensors and masked arrays are accepted, and kept as float64 arrays; what is
    masked or None is NaN.

    sequences : (n,) sequences seen, rising
    values : name -> (n,); NaN where a curve was not measured
    source : description of their origin, for the record
    metric : what was measured; fits need `loss`, `in_context_loss`, `accuracy` (a share) or
        `in_context_accuracy`
    std : name -> (n,) standard deviations of samples, or one number, for curves with known errors
    notes : what the reader of a log guessed or left out
    cautions : reasons to doubt a fit of the curves, in sentences; those of a fit include them

    Raises
    ------
    UsageError : samples that are not real numbers, or curves without names
    """

    kind: ClassVar[str] = "saved curves"
    sequences: Array
    values: dict[str, Array]
    source: str = "given"
    metric: str = "loss"
    std: dict[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sequences = _to_samples("sequences", self.sequences)
        object.__setattr__(self, "sequences", sequences)
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "cautions", tuple(self.cautions))
        for kind in ("values", "std"):
            named = getattr(self, kind)
            check_type(named, Mapping, f"the {kind} of curves by name, as {{'icl': [...]}}")
            arrays = {name: _to_samples(f"{kind} of curve {name}", v) for name, v in named.items()}
            object.__setattr__(self, kind, arrays)
        if unknown := [name for name in self.std if name not in self.values]:
            raise UsageError(f"std is given for {abbreviate(unknown)}, but values are not")
        for name, std in self.std.items():
            if std.ndim == 0:
                self.std[name] = np.full(sequences.shape, float(std))

    def headline(self) -> str:
        """Return names, number of samples, range and source."""
        names = abbreviate([*self.values], 10) or "none"
        extent = _format_range(self.sequences)
        return f"{names}: {len(self.sequences)} samples, {extent} sequences, {self.source}"

    def columns(self) -> dict[str, Array]:
        """Return `sequences` and every curve; a row is a sample."""
        return {"sequences": self.sequences, **self.values}

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the curves against sequences seen, with a legend; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_measured

        return plot_measured(self, ax=ax)

    def between(self, first: float = 0.0, last: float = math.inf) -> "Curves":
        """Return the part from `first` to `last` sequences."""
        first, last = check_bound("first", first), check_bound("last", last)
        return self._at((self.sequences >= first) & (self.sequences <= last))

    def thinned(self, n: int) -> "Curves":
        """Return at most `n` samples of each curve, evenly spread, including first and last.

        Curves that were measured at different samples are thinned separately.  Samples at which no
        curve was measured are dropped.
        """
        values, kept = {}, np.zeros(len(self.sequences), bool)
        for name, curve in self.values.items():
            known = np.flatnonzero(np.isfinite(curve))
            if len(known) > n:
                known = known[np.unique(np.linspace(0, len(known) - 1, n).round().astype(int))]
            values[name] = np.full(len(curve), np.nan)
            values[name][known] = curve[known]
            kept[known] = True
        return replace(self, values=values)._at(kept)

    def _at(self, kept: NDArray[Any]) -> "Curves":
        return replace(
            self,
            sequences=self.sequences[kept],
            values={name: curve[kept] for name, curve in self.values.items()},
            std={name: std[kept] for name, std in self.std.items()},
        )

    def select(self, names: str | Sequence[str]) -> "Curves":
        """Return only these curves; a missing one raises `UsageError`."""
        names = (names,) if isinstance(names, str) else names
        missing = [name for name in names if name not in self.values]
        if missing:
            there = abbreviate([*self.values], 10) or "none"
            raise UsageError(f"no curve {abbreviate(missing)}; there are {there}")
        std = {name: self.std[name] for name in names if name in self.std}
        return replace(self, values={name: self.values[name] for name in names}, std=std)


def _to_samples(name: str, given: Any) -> Array:
    """Return numbers of any container as float64, NaN where they are masked or None."""
    try:
        array = np.ma.asanyarray(given)
        if array.dtype.kind not in "biufO":
            raise TypeError(f"their type is {array.dtype}")
        return np.asarray(np.ma.filled(array.astype(np.float64), np.nan))
    except (TypeError, ValueError, RuntimeError) as error:  # torch raises the last
        raise UsageError(
            f"{name:.60} are not real numbers ({error!s:.80}); give one per sample"
        ) from error


def _format_range(values: Array) -> str:
    return f"{values[0]:.4g} to {values[-1]:.4g}" if len(values) else "nothing"


def check_rising(curves: Curves) -> None:
    """Raise `UsageError` unless sequences are finite and rise, and curves and std have as many."""
    sequences = np.asarray(curves.sequences)
    rises = np.isfinite(sequences) & (np.diff(sequences, prepend=-np.inf) > 0)
    if not rises.all():
        k = int(np.argmin(rises))
        before = f"{sequences[k - 1]:g}, " if k else ""
        raise UsageError(
            f"{curves.source}: the column sequences must be finite and rise from row to row; "
            f"it has {before}{sequences[k]:g} up to row {k + 1}"
        )
    if len(sequences) and sequences[0] < 0:
        raise UsageError(f"{curves.source}: sequences are counted from 0, not {sequences[0]:g}")
    for kind, named in (("samples", curves.values), ("standard deviations", curves.std)):
        for name, values in named.items():
            if np.shape(values) != sequences.shape:
                raise UsageError(
                    f"curve {name} has {np.shape(values)} {kind}, not {sequences.shape} as "
                    "sequences"
                )
