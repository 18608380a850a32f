"""Comparison of several theories on the same curves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from coopetition.fitting.curves import FLIP, Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.posterior import Posterior, sample_posterior
from coopetition.fitting.readout import Readout
from coopetition.fitting.registry import theories, theory_of
from coopetition.fitting.result import Fit, FittedResult
from coopetition.fitting.theory import Theory
from coopetition.tools.console import ProgressReport, add_progress_switch
from coopetition.tools.errors import UsageError, check_type
from coopetition.tools.files import text_table, wrap_text
from coopetition.tools.results import trust_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# smaller differences do not decide between theories
DECISIVE_BIC, DECISIVE_LOG_EVIDENCE = 10.0, 5.0


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison(FittedResult):
    """Fits of several theories, by rising BIC, or by falling evidence if that was computed.

    Criteria weigh the likelihood of a fit against the number of fitted numbers, floors and gains
    included.  Differences do not depend on the curves' units, and a difference of 10 is large.  The
    evidence is the likelihood's mean over the prior: a difference of 5 in its logarithm is large.

    posteriors : of the fits, in their order; none without evidence
    """

    kind: ClassVar[str] = "a saved comparison"
    fits: tuple[Fit, ...]
    posteriors: tuple[Posterior, ...] = ()

    @property
    def n_effective(self) -> float:
        """Effective sample size of the best fit."""
        return self.fits[0].n_effective

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each theory: name, fitted numbers, criteria, R2 by curve, cautions.

        With posteriors also the logarithm of the evidence and its error.  Cautions about the curves
        are those of the comparison.
        """
        about_curves = self.fits[0].problem.cautions
        rows = [
            {
                "name": each.theory,
                "n_parameters": len(each.parameters),
                "n_fitted": each.n_fitted,
                "bic": each.bic,
                "aicc": each.aicc,
                "r2": {name: curve.r2 for name, curve in each.curves.items()},
                "converged": each.converged,
                "cautions": [text for text in each.cautions if text not in about_curves],
            }
            for each in self.fits
        ]
        for row, posterior in zip(rows, self.posteriors, strict=False):
            row["log_evidence"] = posterior.log_evidence
            row["log_evidence_error"] = posterior.log_evidence_error
            row["cautions"] = [*row["cautions"], *posterior.cautions]
        return rows

    def columns(self) -> dict[str, Any]:
        """Return criteria and R2 of every curve; a row is a theory."""
        rows = self.rows()
        names = ("name", "n_parameters", "bic", "aicc", "log_evidence", "converged")
        columns = {name: [row[name] for row in rows] for name in names if name in rows[0]}
        return columns | {f"r2_{c}": [row["r2"][c] for row in rows] for c in rows[0]["r2"]}

    @property
    def cautions(self) -> list[str]:
        """Reasons to doubt the order of the theories, in sentences; none if no problem is known."""
        found, best = self.fits[0].problem.cautions, self.fits[0].theory
        criterion, limit = "BICs", DECISIVE_BIC
        behind = [each.bic - self.fits[0].bic for each in self.fits]
        if self.posteriors:
            criterion, limit = "logarithms of the evidence", DECISIVE_LOG_EVIDENCE
            behind = [self.posteriors[0].log_evidence - p.log_evidence for p in self.posteriors]
        names = [each.theory for each in self.fits]
        close = [name for name, distance in zip(names, behind, strict=True) if distance < limit]
        if len(close) > 1:
            found.append(
                f"the curves do not decide between {', '.join(close)}, whose {criterion} differ by "
                f"less than {limit:g}"
            )
        if doubts := self.rows()[0]["cautions"]:
            found.append(f"the fit of {best} is doubtful: {'; '.join(doubts)}")
        return found

    def summary(self) -> str:
        """Return whether the comparison can be trusted, and a table of text."""
        trusted = f"{self.fits[0].theory} is the best, and its fit has no known problem."
        evidence = ("log evidence",) if self.posteriors else ()
        r2 = (f"R2 {name}" for name in self.fits[0].curves)
        table = [("theory", "fitted", "BIC", "AICc", *evidence, *r2, "")]
        for row in self.rows():
            aicc = "-" if row["aicc"] is None else f"{row['aicc']:.1f}"
            r2 = (f"{value:.4f}" for value in row["r2"].values())
            if evidence:
                evidence = (f"{row['log_evidence']:.1f} +- {row['log_evidence_error']:.1f}",)
            numbers = str(row["n_fitted"]), f"{row['bic']:.1f}", aicc, *evidence, *r2
            table.append((row["name"], *numbers, "; ".join(row["cautions"])))
        parts = [trust_line(self.cautions, trusted), text_table(table)]
        if used := self.fits[0].thinning:
            parts.append(wrap_text(used))
        return "\n\n".join(parts)

    def headline(self) -> str:
        """Return every theory with its BIC, or with the logarithm of its evidence."""
        name, what = ("log_evidence", "log evidence") if self.posteriors else ("bic", "BIC")
        values = ", ".join(f"{row['name']} {row[name]:.0f}" for row in self.rows())
        return f"by {what}: {values}"

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw how far the theories are behind the best; see `coopetition.plot.fits`."""
        from coopetition.plot.fits import plot_theories

        return plot_theories(self, ax=ax)

    def to_saved(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {
            "fits": [each.to_saved() for each in self.fits],
            "posteriors": [each.sample_to_saved() for each in self.posteriors],
        }

    @classmethod
    def from_saved(cls, saved: dict[str, Any], *theories: Theory) -> Self:
        """Return the comparison of `to_saved`; theories without names must be given."""
        given = {each.name: (own,) for own in theories for each in (own, Readout.of(own))}
        fits = [Fit.from_saved(each, *given.get(each["theory"], ())) for each in saved["fits"]]
        if not fits:
            raise ValueError("it has no fits")
        numbers = saved["posteriors"]
        pairs = zip(fits, numbers, strict=bool(numbers))
        return cls(tuple(fits), tuple(Posterior.of_sample(fit, each) for fit, each in pairs))


@add_progress_switch
def compare(
    curves: Curves | Sequence[Curves],
    chosen: str | Theory | Iterable[str | Theory] | None = None,
    *,
    fixed: Mapping[str, float | str] | None = None,
    shared: str | Sequence[str] = (),
    evidence: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Comparison:
    """Fit theories to the same curves, and rank them by BIC or by evidence.

    Parameters
    ----------
    chosen : theories, or their names; default: all in `theories()`
    fixed, shared : as for `fit`; each theory takes those of its own parameters.  A parameter that
        equals another is fixed only in theories that have both.
    evidence : whether to sample posteriors, and rank by evidence; seconds to minutes for each
    progress : whether to show progress; see also `show_progress`
    settings : further settings of `fit`

    Raises
    ------
    UsageError : a parameter that none of the theories has, or what `fit` refuses
    """
    chosen = (chosen,) if isinstance(chosen, str | Theory) else chosen
    shared = (shared,) if isinstance(shared, str) else shared
    names = theories() if chosen is None else dict.fromkeys(chosen)
    found = [theory_of(each) for each in names]
    if not found:
        raise UsageError(f"no theory is given; choose from {', '.join(theories())}")
    fixed = fixed or {}
    check_type(fixed, Mapping, "fixed values by name, as {'mu1': 0.1}")
    _check_parameters([*shared, *fixed, *(x for x in fixed.values() if isinstance(x, str))], found)
    _check_comparable(curves, found, evidence)
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
    fits.sort(key=lambda each: each.bic)
    if not evidence:
        return Comparison(tuple(fits))
    posteriors = []
    with ProgressReport("sample", len(fits), "theories") as report:
        for each in fits:
            own = {name: settings[name] for name in ("seed", "n_jobs") if name in settings}
            posteriors.append(sample_posterior(each, **own))
            report.advance(note=each.theory)
    posteriors.sort(key=lambda each: -each.log_evidence)
    return Comparison(tuple(each.fit for each in posteriors), tuple(posteriors))


def _check_comparable(
    curves: Curves | Sequence[Curves], chosen: Sequence[Theory], evidence: bool
) -> None:
    """Raise `UsageError` unless all theories are fitted to the same curves, with one prior."""
    runs = curves if isinstance(curves, list | tuple) else [curves]
    given = {name for run in runs if isinstance(run, Curves) for name in run.values}
    fitted = {each: [name for name in each.fitted_curves if name in given] for each in chosen}
    most, least = (rule(chosen, key=lambda each: len(fitted[each])) for rule in (max, min))
    if fitted[most] != fitted[least]:
        raise UsageError(
            f"{most.name} is fitted to {', '.join(fitted[most])}, but {least.name} to "
            f"{', '.join(fitted[least])}; compare readouts with readouts, or leave out {FLIP}"
        )
    if evidence and len({each.has_levels for each in chosen}) > 1:
        raise UsageError(
            f"{most.name} and {least.name} have different priors of floors and gains; compare "
            "readouts with readouts, or by BIC"
        )


def _check_parameters(names: Iterable[str], chosen: Sequence[Theory]) -> None:
    """Raise `UsageError` unless each name is that of a parameter of one of the theories."""
    known = dict.fromkeys(name for theory in chosen for name in theory.names)
    for name in names:
        if name not in known:
            raise UsageError(
                f"none of the theories has a parameter {name!r}; their parameters are "
                f"{', '.join(known)}"
            )
