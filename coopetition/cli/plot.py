"""Plot the measured curves of a run folder or another tool's log against sequences seen."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from coopetition.cli._flags import LogFlags, write_file
from coopetition.plot.style import check_picture, save_plot
from coopetition.tools.files import check_writable
from coopetition.tools.flags import default_shown_as


@dataclass(frozen=True, kw_only=True)
class Flags(LogFlags):
    curves: tyro.conf.Positional[Path]
    """Run folder, or a log of another tool (docs/fit_your_own_log.md)."""
    out: Path = Path("curves.png")
    """Output file of the plot (`.png`, `.pdf` or `.svg`)."""
    only: Annotated[tuple[str, ...], default_shown_as("all")] = ()
    """Names of the curves to plot, such as `icl ciwl flip`."""


def run(flags: Flags) -> None:
    from coopetition.plot.fits import plot_measured

    check_picture(flags.out)
    check_writable(flags.out)
    curves = flags.read_part(flags.select(flags.curves), first=flags.from_ or 0.0)
    if flags.only:
        curves = curves.select(flags.only)
    write_file(flags.out, partial(save_plot, partial(plot_measured, curves)), as_json=False)
