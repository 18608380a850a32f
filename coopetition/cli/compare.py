"""Fit several theories to the same curves, and rank them by BIC."""

from dataclasses import dataclass

from coopetition.cli._curves import CurveFlags
from coopetition.tools.console import print_json


@dataclass(frozen=True, kw_only=True)
class Flags(CurveFlags):
    theories: tuple[str, ...] = ()
    """Which ones (without: all); a wrong name lists them."""
    json: bool = False
    """Print a list of one object a theory."""


def run(flags: Flags) -> None:
    from coopetition.compare.selection import compare_theories
    from coopetition.plot.report import report_comparison

    flags.check_report()
    found = compare_theories(
        flags.read(), flags.theories or None, seed=flags.seed, n_starts=flags.starts
    )
    if flags.json:
        print_json(found.rows())
    else:
        print(found.summary())
    flags.write_report(lambda path: report_comparison(path, found), as_json=flags.json)
