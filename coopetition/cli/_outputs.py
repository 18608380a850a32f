"""Flags for a command's result: standard output, and files on request."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

from coopetition.plot.style import check_picture, save_plot
from coopetition.tools.console import print_json, print_written
from coopetition.tools.files import check_ending, check_writable
from coopetition.tools.flags import default_shown_as


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    ending: ClassVar[str] = ".npz"
    out: Annotated[Path | None, default_shown_as("not saved")] = None
    """Save the whole result to this file: `.json` for a fit or a forecast, `.npz` otherwise."""
    plot: Annotated[Path | None, default_shown_as("no plot")] = None
    """Save a plot to this file (`.png`, `.pdf` or `.svg`)."""
    json: bool = False
    """Print one JSON object."""

    def check_outputs(self) -> None:
        """Raise `UsageError` if a file cannot be written, before the work."""
        check_ending(self.out, self.ending)
        check_picture(self.plot)
        for path in (self.out, self.plot):
            check_writable(path)

    def write_outputs(
        self, result: Any, plot: Callable[..., Any], **more: float | dict[str, float]
    ) -> None:
        """Print the result, and more numbers; then write the requested files."""
        if self.json:
            print_json(more | result.to_dict())
        else:
            print(result.summary())
            for name, value in more.items():
                if isinstance(value, dict):
                    values = ", ".join(f"{key} to {number:.1e}" for key, number in value.items())
                    print(f"{name:8} {values or 'none'}")
                else:
                    print(f"{name} {value:.1f}")
        if self.out is not None:
            write_file(self.out, result.save, as_json=self.json)
        if self.plot is not None:
            write_file(self.plot, partial(save_plot, plot), as_json=self.json)


def write_file(path: Path, write: Callable[[Path], None], *, as_json: bool) -> None:
    """Write a file, in a folder that is made if needed, and name both."""
    if not path.parent.exists():
        print(f"made the folder {path.parent}", file=sys.stderr)
    write(path)
    print_written(path, as_json=as_json)
