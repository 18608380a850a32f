"""Theories against each other on the same curves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coopetition.compare.curves import Curves
from coopetition.compare.estimate import fit
from coopetition.compare.result import Fit
from coopetition.compare.theory import Theory, theories, theory_of
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import html_table, to_frame

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Fits of several theories, that with the lowest BIC first.

    Criteria weigh how well curves are met against how many numbers that took, floors and gains
    among them.  How many samples count, which residuals tell, is for all theories what the closest
    fit says: else a theory that errs smoothly would seem to err in few samples.  Differences do not
    depend on the curves' units, and one of 10 is much.
    """

    fits: tuple[Fit, ...]

    @property
    def n_effective(self) -> float:
        """Samples that count, by the closest fit."""
        return min(self.fits, key=lambda each: each.starts[0]).n_effective

    def rows(self) -> list[dict[str, Any]]:
        """A row a theory: name, how many numbers, BIC, AICc, R2 by curve, cautions."""
        return [
            {
                "name": each.theory,
                "n_parameters": len(each.parameters),
                "n_numbers": each.n_numbers,
                "bic": each.bic_of(self.n_effective),
                "aicc": each.aicc_of(self.n_effective),
                "r2": {name: curve.r2 for name, curve in each.curves.items()},
                "converged": each.converged,
                "cautions": each.cautions,
            }
            for each in self.fits
        ]

    def to_frame(self) -> "DataFrame":
        """A row a theory."""
        rows = self.rows()
        columns = {name: [row[name] for row in rows] for name in ("name", "n_parameters")}
        columns |= {name: [row[name] for row in rows] for name in ("bic", "aicc", "converged")}
        for curve in rows[0]["r2"]:
            columns[f"r2_{curve}"] = [row["r2"][curve] for row in rows]
        return to_frame(columns)

    def summary(self) -> str:
        """A table of text."""
        rows = self.rows()
        curves = list(rows[0]["r2"])
        wide = {name: max(10, len(name) + 4) for name in curves}
        head = "".join(f"{f'R2 {name}':>{wide[name]}}" for name in curves)
        lines = [f"{'theory':20} numbers {'BIC':>9} {'AICc':>9}{head}"]
        for row in rows:
            r2 = "".join(f"{row['r2'][name]:{wide[name]}.4f}" for name in curves)
            aicc = "-" if row["aicc"] is None else f"{row['aicc']:.1f}"
            line = f"{row['name']:20} {row['n_numbers']:7} {row['bic']:9.1f} {aicc:>9}{r2}"
            lines.append(line + "".join(f"   {each}" for each in row["cautions"]))
        return "\n".join(lines)

    def __repr__(self) -> str:
        told = ", ".join(f"{row['name']} {row['bic']:.0f}" for row in self.rows())
        return f"<Comparison by BIC: {told}>"

    def _repr_html_(self) -> str:
        rows = [
            (row["name"], f"{row['n_parameters']} numbers", f"BIC {row['bic']:.1f}")
            for row in self.rows()
        ]
        return html_table(rows)


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
    chosen : theories, or their names; default: all that have a name
    fixed, shared : as those of `fit`; each theory takes those of its own parameters.  One that
        equals another is fixed only where a theory has both.
    settings : further settings of `fit`

    Raises
    ------
    UsageError : a parameter that none of the theories has, or what `fit` refuses
    """
    asked = theories().values() if chosen is None else dict.fromkeys(chosen)
    found = [theory_of(each) if isinstance(each, str) else each for each in asked]
    if not found:
        raise UsageError(f"no theory is given; choose of {', '.join(theories())}")
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
    comparison = Comparison(tuple(fits))
    by_bic = sorted(fits, key=lambda each: each.bic_of(comparison.n_effective))
    return Comparison(tuple(by_bic))


def _check_parameters(names: Iterable[str], chosen: Sequence[Theory]) -> None:
    """Raise `UsageError` unless each name is that of a parameter of one of the theories."""
    known = dict.fromkeys(name for theory in chosen for name in theory.names)
    for name in names:
        if name not in known:
            raise UsageError(
                f"none of the theories has a parameter {name!r}; their parameters are "
                f"{', '.join(known)}"
            )
