"""Show ICL rise and fall in a transformer on handwriting, beside the theory (some minutes).

The command trains a transformer, solves the minimal model, fits it to the transformer's curves, and
draws the results.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_writable
from coopetition.tools.flags import default_shown_as


@dataclass(frozen=True, kw_only=True)
class Flags:
    out: Path = Path("demo")
    """Folder for the figure, the report and the run."""
    quick: bool = False
    """Check the installation in one minute. The run is then too short for ICL to fade."""
    threads: Annotated[int | None, default_shown_as("chosen by timing steps")] = None
    """Number of CPU threads."""


def run(flags: Flags) -> None:
    if flags.out.exists() and not flags.out.is_dir():
        raise UsageError(f"--out {flags.out} is a file; give a folder")
    if (flags.out / "manifest.json").exists():
        raise UsageError(f"--out {flags.out} is the folder of a run; choose another")
    check_writable(flags.out / "report.md")
    from paper_figures.demo import run_demo  # the one import against the usual direction

    run_demo(flags.out, quick=flags.quick, threads=flags.threads)
