"""Where a command's result goes: standard output, and files that are asked for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from coopetition.plot.style import check_picture, save_plot
from coopetition.tools.console import print_json, print_written
from coopetition.tools.files import check_ending, check_writable


@dataclass(frozen=True, kw_only=True)
class Outputs:
    ending: ClassVar[str] = ".npz"
    out: Path | None = None
    """Save the whole result here: `.json` of a fit or a forecast, `.npz` of all else."""
    plot: Path | None = None
    """Save a plot here (`.png`, `.pdf` or `.svg`)."""
    json: bool = False
    """Print one JSON object."""

    def check_outputs(self) -> None:
        """Raise `UsageError` if a file cannot be written; before the work, not after."""
        check_ending(self.out, self.ending)
        check_picture(self.plot)
        for path in (self.out, self.plot):
            check_writable(path)

    def give(self, result: Any, plot: Callable[..., Any], **more: float | dict[str, float]) -> None:
        """Print the result, and what else is told of it; then write the files."""
        if self.json:
            print_json(more | result.to_dict())
        else:
            print(result.summary())
            for name, value in more.items():
                if isinstance(value, dict):
                    kept = ", ".join(f"{law} to {drift:.1e}" for law, drift in value.items())
                    print(f"{name:8} {kept or 'none'}")
                else:
                    print(f"{name} {value:.1f}")
        if self.out is not None:
            write_said(self.out, result.save, as_json=self.json)
        if self.plot is not None:
            write_said(self.plot, partial(save_plot, plot), as_json=self.json)


def write_said(path: Path, write: Callable[[Path], None], *, as_json: bool) -> None:
    """Write a file, and say so; a folder that did not exist is made, which is said too."""
    if not path.parent.exists():
        print(f"made the folder {path.parent}", file=sys.stderr)
    write(path)
    print_written(path, as_json=as_json)
