"""List the runs in a folder: id, status, steps, where ICL and CIWL stand.

Runs in the folders within it are listed too.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from coopetition.tools.console import print_rows


@dataclass(frozen=True, kw_only=True)
class Flags:
    folder: tyro.conf.Positional[Path] = Path("runs")
    json: bool = False
    """Print one JSON object a run."""


def run(flags: Flags) -> None:
    from transformer.runs.table import list_runs

    rows = list_runs(flags.folder)
    if rows or flags.json:
        print_rows(rows, as_json=flags.json)
    else:
        print(f"no runs in {flags.folder}")
