"""Comparison of several theories on the same curves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import fit
from coopetition.compare.result import Fit
from coopetition.compare.theory import Theory, theories, theory_of
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import text_table
from coopetition.tools.results import Result


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison(Result):
    """Fits of several theories, by rising BIC.

    Criteria weigh the likelihood of a fit against the number of fitted numbers, floors and gains
    included.  Differences do not depend on the curves' units, and a difference of 10 is large.
    """

    fits: tuple[Fit, ...]

    @property
    def n_effective(self) -> float:
        """Effective sample size of the best fit."""
        return self.fits[0].n_effective

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each theory: name, fitted numbers, criteria, R2 by curve, cautions."""
        return [
            {
                "name": each.theory,
                "n_parameters": len(each.parameters),
                "n_fitted": each.n_fitted,
                "bic": each.bic,
                "aicc": each.aicc,
                "r2": {name: curve.r2 for name, curve in each.curves.items()},
                "converged": each.converged,
                "cautions": each.cautions,
            }
            for each in self.fits
        ]

    def columns(self) -> dict[str, Any]:
        """Return criteria and R2 of every curve; a row is a theory."""
        rows = self.rows()
        names = ("name", "n_parameters", "bic", "aicc", "converged")
        columns = {name: [row[name] for row in rows] for name in names}
        return columns | {f"r2_{c}": [row["r2"][c] for row in rows] for c in rows[0]["r2"]}

    def summary(self) -> str:
        """Return a table of text."""
        table = [("theory", "fitted", "BIC", "AICc", *(f"R2 {n}" for n in self.fits[0].curves), "")]
        for row in self.rows():
            aicc = "-" if row["aicc"] is None else f"{row['aicc']:.1f}"
            r2 = (f"{value:.4f}" for value in row["r2"].values())
            cautions = "; ".join(row["cautions"])
            table.append(
                (row["name"], str(row["n_fitted"]), f"{row['bic']:.1f}", aicc, *r2, cautions)
            )
        return text_table(table)

    def headline(self) -> str:
        """Return the BIC of every theory."""
        return "by BIC: " + ", ".join(f"{row['name']} {row['bic']:.0f}" for row in self.rows())


def compare_theories(
    curves: Curves | Sequence[Curves],
    chosen: Iterable[str | Theory] | None = None,
    *,
    fixed: Mapping[str, float | str] | None = None,
    shared: Sequence[str] = (),
    **settings: Any,
) -> Comparison:
    """Fit theories to the same curves, and rank them by BIC.

    Parameters
    ----------
    chosen : theories, or their names; default: all in `theories()`
    fixed, shared : as for `fit`; each theory takes those of its own parameters.  A parameter that
        equals another is fixed only in theories that have both.
    settings : further settings of `fit`

    Raises
    ------
    UsageError : a parameter that none of the theories has, or what `fit` refuses
    """
    names = theories() if chosen is None else dict.fromkeys(chosen)
    found = [theory_of(each) for each in names]
    if not found:
        raise UsageError(f"no theory is given; choose from {', '.join(theories())}")
    fixed = fixed or {}
    _check_parameters([*shared, *fixed, *(x for x in fixed.values() if isinstance(x, str))], found)
    fits = []
    with ProgressReport("compare", len(found), "theories") as report:
        for theory in found:
            own = {
                name: value
                for name, value in fixed.items()
                if name in theory.names and (not isinstance(value, str) or value in theory.names)
            }
            common = [name for name in shared if name in theory.names]
            fits.append(fit(curves, theory, fixed=own, shared=common, **settings))
            report.advance(note=theory.name)
    return Comparison(tuple(sorted(fits, key=lambda each: each.bic)))


def _check_parameters(names: Iterable[str], chosen: Sequence[Theory]) -> None:
    """Raise `UsageError` unless each name is that of a parameter of one of the theories."""
    known = dict.fromkeys(name for theory in chosen for name in theory.names)
    for name in names:
        if name not in known:
            raise UsageError(
                f"none of the theories has a parameter {name!r}; their parameters are "
                f"{', '.join(known)}"
            )
