"""Write a run's curves to a small CSV file, and what they are curves of as JSON beside it."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Flags:
    run: tyro.conf.Positional[Path]
    """The run's folder."""
    out: Path
    """The CSV file, and the JSON beside it with the same name; both are written over."""


def run(flags: Flags) -> None:
    from transformer.runs.export import export
    from transformer.runs.folder import load_run

    export(load_run(flags.run), flags.out)
    print(f"wrote {flags.out} and {flags.out.with_suffix('.json')}")
