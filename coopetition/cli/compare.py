"""Fit several theories to the same curves, and rank them by BIC or by evidence."""

from dataclasses import dataclass
from typing import Annotated

from coopetition.cli._flags import CurveFlags, JsonOutputFlags
from coopetition.tools.console import print_json
from coopetition.tools.flags import default_shown_as


@dataclass(frozen=True, kw_only=True)
class Flags(CurveFlags, JsonOutputFlags):
    theories: Annotated[tuple[str, ...], default_shown_as("all")] = ()
    """Names of the theories to compare. The error for an unknown name lists all."""
    evidence: bool = False
    """Sample the posterior of every theory, and rank by evidence (some tens of seconds each)."""
    jobs: int = 1
    """Number of processes for each theory; the result does not depend on it."""
    json: bool = False
    """Print a JSON list, one object per theory."""


def run(flags: Flags) -> None:
    from coopetition.fitting.selection import compare
    from coopetition.plot.report import report_comparison

    flags.check_outputs()
    flags.check_report()
    comparison = compare(
        flags.read(as_json=flags.json),
        flags.theories or None,
        evidence=flags.evidence,
        seed=flags.seed,
        n_starts=flags.starts,
        n_jobs=flags.jobs,
    )
    if flags.json:
        print_json(comparison.rows())
    else:
        print(comparison.summary())
    flags.write_files(comparison, comparison.plot)
    flags.write_report(lambda path: report_comparison(path, comparison), as_json=flags.json)
