"""Flags and output that the commands on runs share."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from coopetition.tools.console import print_json, print_rows, print_table
from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.flags import default_shown_as

if TYPE_CHECKING:
    from transformer.measures.timeline import Timeline
    from transformer.runs.folder import RunFolder

AS_RECORDED = default_shown_as("as recorded")


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """A run folder."""

    run: tyro.conf.Positional[Path]
    """Folder of a run, or of runs that were trained together."""
    json: bool = False
    """Print one JSON object for each run."""


@dataclass(frozen=True, kw_only=True)
class MovedRunFlags(RunFlags):
    """A run folder, and what differs from its record on this machine."""

    device: Annotated[str | None, AS_RECORDED] = None
    """Device: `auto`, `cpu`, `cuda` or `mps`."""
    threads: Annotated[int | None, AS_RECORDED] = None
    """Number of CPU threads."""
    execution: Annotated[str | None, AS_RECORDED] = None
    """How steps are executed: `auto`, `eager`, `compiled`, `graph` or `compiled-graph`."""
    data_path: Annotated[str | None, AS_RECORDED] = None
    """File or folder of the exemplars, if it has moved."""

    def place(self) -> dict[str, Any]:
        """Return the settings for this machine."""
        names = ("device", "threads", "execution", "data_path")
        return {name: getattr(self, name) for name in names}


def runs_with_outputs(folder: Path, out: Path, suffix: str = "") -> list[tuple["RunFolder", Path]]:
    """Return the runs of a folder, each with its output: `out`, or a path in it for several."""
    from transformer.runs.folder import load_runs

    runs = load_runs(folder)
    if len(runs) == 1:
        return [(runs[0], out)]
    if out.suffix == ".csv" or out.is_file():
        raise UsageError(
            f"--out {out} is one file, but {folder} holds {len(runs)} runs; name a folder, or give "
            "the folder of one run"
        )
    return [(run, out / f"{run.path.name}{suffix}") for run in runs]


def train_and_print(train: Callable[[], list["RunFolder"]], *, as_json: bool) -> None:
    """Train runs and print their status, also if some diverge."""
    from transformer.runs.train import Diverged

    try:
        runs = train()
    except Diverged as error:
        print_status(error.runs, as_json=as_json)
        raise
    print_status(runs, as_json=as_json)


def print_status(runs: list["RunFolder"], *, as_json: bool) -> None:
    """Print status and timeline of a run, or a table of several runs and their damage."""
    from transformer.runs.recovery import read_statuses
    from transformer.runs.table import row_of

    statuses = read_statuses(runs)
    if len(runs) > 1 and not as_json:
        rows = [row_of(run.path) for run in runs]
        for row, status in zip(rows, statuses, strict=True):
            del row["message"]  # is shown last
            names = ("status", "step", "checkpoint", "resumes_from", "message")
            row |= {name: status[name] for name in names}
        for sentence in dict.fromkeys(text for status in statuses for text in status["damaged"]):
            print(f"damaged: {sentence}")
        print_rows(rows, as_json=False)
        return
    for run, status in zip(runs, statuses, strict=True):
        if texts := [each.to_text() for each in run.config.interventions]:
            status["interventions"] = texts if as_json else ", ".join(texts)
        events = _timeline(run)
        if as_json:
            report = status | {"path": str(run.path), "events": events and asdict(events)}
            print(json.dumps(report)) if len(runs) > 1 else print_json(report)
            continue
        if status["damaged"]:
            status["damaged"] = abbreviate(status["damaged"])
        else:
            del status["damaged"]
        print_table(status | (events.describe() if events else {}), as_json=False)


def _timeline(run: "RunFolder") -> "Timeline | None":
    """Return the timeline of a run; None until its metrics have one, or if they are damaged."""
    from transformer.measures.timeline import TIMELINE_EVALUATORS, timeline

    try:
        curves = run.curves() if len(run.metrics()) > 1 else None
    except UserError:
        return None
    return timeline(curves) if curves and {*TIMELINE_EVALUATORS} <= {*curves.values} else None
