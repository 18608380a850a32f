"""Plot measured curves of a run against sequences seen, from its folder or a CSV file."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from coopetition.cli._curves import PartFlags
from coopetition.cli._outputs import write_file
from coopetition.plot.style import check_picture, save_plot
from coopetition.tools.files import check_writable


@dataclass(frozen=True, kw_only=True)
class Flags(PartFlags):
    curves: tyro.conf.Positional[Path]
    """Run folder, or CSV file with the column sequences and one for each curve."""
    out: Path = Path("curves.png")
    """Picture to write (`.png`, `.pdf` or `.svg`)."""
    only: tuple[str, ...] = ()
    """Names of the curves to draw, as `icl ciwl flip` (default: all)."""


def run(flags: Flags) -> None:
    from coopetition.compare.curves import read_curves
    from coopetition.plot.fits import plot_measured

    check_picture(flags.out)
    check_writable(flags.out)
    flags.check_part()
    curves = flags.select_part(flags.curves, read_curves(flags.curves, flags.metric))
    if flags.only:
        curves = curves.select(flags.only)
    write_file(flags.out, partial(save_plot, partial(plot_measured, curves)), as_json=False)
