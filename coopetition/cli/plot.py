"""Plot the measured curves of one or several runs, from run folders or logs of other tools."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from coopetition.cli._flags import LogFlags, Paths, write_file
from coopetition.plot.style import check_picture, save_plot
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_writable
from coopetition.tools.flags import default_shown_as

if TYPE_CHECKING:
    from coopetition.fitting.curves import Curves


@dataclass(frozen=True, kw_only=True)
class PlotFlags:
    """Flags of plots of measured curves."""

    out: Path = Path("curves.png")
    """Output file of the plot (`.png`, `.pdf` or `.svg`)."""
    curves: Annotated[tuple[str, ...], default_shown_as("all")] = ()
    """Names of the curves to plot, such as `icl ciwl flip`."""

    def check(self, paths: tuple[Path, ...]) -> None:
        """Raise `UsageError` if nothing is given or the plot cannot be written, before the work."""
        if not paths:
            raise UsageError("no runs are given; name their folders before flags with values")
        check_picture(self.out)
        check_writable(self.out)

    def draw(self, found: "Iterable[tuple[Path, Curves]]") -> str:
        """Write the plot of curves and their files or folders; return what it shows."""
        from coopetition.plot.fits import name_metrics, plot_measured

        parts = [(path, curves.select(self.curves or (*curves.values,))) for path, curves in found]
        names = unique_names([path for path, _ in parts])
        shown = dict(zip(names, (curves for _, curves in parts), strict=True))
        write_file(self.out, partial(save_plot, partial(plot_measured, shown)), as_json=False)
        curves = dict.fromkeys(name for each in shown.values() for name in each.values)
        return f"{name_metrics(shown.values())} of {', '.join(curves)}"


@dataclass(frozen=True, kw_only=True)
class Flags(PlotFlags, LogFlags):
    paths: Paths
    """Run folders, or logs of other tools (docs/fit_your_own_log.md)."""


def unique_names(paths: list[Path]) -> list[str]:
    """Return the last parts of paths, as many as distinguish them."""
    absolute = [path.absolute() for path in paths]
    for n in range(1, max(len(path.parts) for path in absolute) + 1):
        names = ["/".join(path.parts[-n:]) for path in absolute]
        if len({*names}) == len(paths):
            return names
    raise UsageError(f"{paths[0]} is among the given paths twice; name each once")


def run(flags: Flags) -> None:
    flags.check(flags.paths)
    found = (
        (path, flags.read_part(flags.select(path), first=flags.from_ or 0.0, print_cautions=True))
        for path in flags.paths
    )
    print(flags.draw(found))
