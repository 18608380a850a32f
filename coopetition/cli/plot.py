"""Plot the measured curves of a run, from its folder or a CSV file, against sequences seen."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from coopetition.cli._flags import PartFlags, write_file
from coopetition.plot.style import check_picture, save_plot
from coopetition.tools.files import check_writable
from coopetition.tools.flags import default_shown_as


@dataclass(frozen=True, kw_only=True)
class Flags(PartFlags):
    curves: tyro.conf.Positional[Path]
    """Run folder, or CSV file with the column sequences and one column for each curve."""
    out: Path = Path("curves.png")
    """Output file of the plot (`.png`, `.pdf` or `.svg`)."""
    only: Annotated[tuple[str, ...], default_shown_as("all")] = ()
    """Names of the curves to plot, such as `icl ciwl flip`."""


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
