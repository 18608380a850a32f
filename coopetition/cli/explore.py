"""Open the minimal model in a browser, with sliders, measured runs to compare, and Python code.

The command writes one HTML file that works without a network connection.
"""

import webbrowser
from dataclasses import dataclass
from pathlib import Path

from coopetition.tools.console import print_written
from coopetition.tools.files import check_ending, check_writable


@dataclass(frozen=True, kw_only=True)
class Flags:
    out: Path = Path("explorer.html")
    """File for the page."""
    open: bool = True
    """Open the page in the default browser."""


def run(flags: Flags) -> None:
    check_ending(flags.out, ".html")
    check_writable(flags.out)
    from coopetition.explorer.page import write_explorer
    from paper_figures.explorer import measured_losses  # against the usual direction

    path = write_explorer(flags.out, measured_losses())
    print_written(path)
    if flags.open and not webbrowser.open(path.absolute().as_uri()):
        print("no browser was found; open this file in one")
