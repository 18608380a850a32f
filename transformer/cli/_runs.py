"""What the commands about runs share: a run's folder, where it computes now, how it stands."""

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from coopetition.tools.console import print_json, print_rows, print_table
from coopetition.tools.errors import abbreviate

if TYPE_CHECKING:
    from transformer.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """A run folder."""

    run: tyro.conf.Positional[Path]
    """The folder of a run, or of runs that are trained together."""
    json: bool = False
    """Print one JSON object."""


@dataclass(frozen=True, kw_only=True)
class MovedRunFlags(RunFlags):
    """A run folder that may have moved to another machine."""

    device: str | None = None
    """Another device than the recorded one: auto, cpu, cuda or mps."""
    threads: int | None = None
    """Other CPU threads than those recorded."""
    execution: str | None = None
    """Another execution than that recorded: eager, compiled or graph."""
    data_path: str | None = None
    """Where the exemplars' file is now."""

    def place(self) -> dict[str, Any]:
        """Where and how to compute instead of as recorded."""
        names = ("device", "threads", "execution", "data_path")
        return {name: getattr(self, name) for name in names}


def places(folder: Path, out: Path, suffix: str = "") -> list[tuple["RunFolder", Path]]:
    """Where something of a run goes, `out`; of each run of an ensemble, a name of its own there."""
    from transformer.runs.folder import load_runs

    runs = load_runs(folder)
    if len(runs) == 1:
        return [(runs[0], out)]
    return [(run, out / f"{run.path.name}{suffix}") for run in runs]


def title(run: "RunFolder", runs: Collection["RunFolder"]) -> str:
    """What stands before a run's output: its name, if there are several."""
    return f"{run.path.name}: " if len(runs) > 1 else ""


def print_ends(train: Callable[[], list["RunFolder"]], *, as_json: bool) -> None:
    """Train, and print how the runs ended, those that diverged too."""
    from transformer.runs.loop import Diverged

    try:
        runs = train()
    except Diverged as error:
        print_standing(error.runs, as_json=as_json)
        raise
    print_standing(runs, as_json=as_json)


def print_standing(runs: list["RunFolder"], *, as_json: bool) -> None:
    """How runs stand, with the timeline of each; several as a table."""
    from transformer.measures.events import EVALUATORS, timeline
    from transformer.runs.table import row_of

    if len(runs) > 1 and not as_json:
        print_rows([row_of(run.path) for run in runs], as_json=False)
        return
    for run in runs:
        status = run.status()
        if under := [each.to_text() for each in run.config.interventions]:
            status["interventions"] = under if as_json else ", ".join(under)

        curves = run.curves() if len(run.metrics()) > 1 else None
        measured = curves is not None and {*EVALUATORS} <= {*curves.values}
        events = timeline(curves) if curves is not None and measured else None
        if as_json:
            report = status | {"path": str(run.path), "events": events and asdict(events)}
            print(json.dumps(report)) if len(runs) > 1 else print_json(report)
        else:
            if damaged := status.pop("damaged"):
                status["damaged"] = abbreviate(damaged, 1)
            print_table(status | (events.describe() if events else {}), as_json=False)
