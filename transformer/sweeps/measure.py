"""The node that measures runs, into a table."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_json, write_text
from coopetition.tools.progress import ProgressReport
from transformer.measures.measure import MEASURES
from transformer.runs.ensemble import load_runs
from transformer.runs.folder import RunFolder
from transformer.sweeps.plan import Node
from transformer.sweeps.train import Train

FILE, RECORD = "table.csv", "table.json"


@dataclass(frozen=True, kw_only=True)
class Measure(Node):
    """A measure by name (`transformer.measures.of_runs`) of the runs of other nodes."""

    measure: str
    of: tuple[str, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """The runs that it measures."""
        return self.of

    def check(self, nodes: Mapping[str, Node]) -> None:
        """Raise `UsageError` for what is no measure, or no run."""
        MEASURES[self.measure]
        if not self.of:
            raise UsageError(f"{self.name} measures no runs; name some")
        for name in self.of:
            if not isinstance(nodes[name], Train):
                raise UsageError(f"{self.name} measures {name}, which trains nothing")

    def is_done(self, runs: Path) -> bool:
        """Whether the table is there, of the runs that are there."""
        folder = runs / self.name
        try:
            record = json.loads((folder / RECORD).read_text())
            wanted = self._record(runs)
        except (FileNotFoundError, ValueError, UserError):
            return False  # a run that is missing or damaged is its own node's to tell
        return (folder / FILE).exists() and record == wanted

    def work(self, runs: Path, device: str, threads: int) -> None:
        """Write the table: the columns `run` and `run_id`, and those of the measure."""
        measured = self._runs(runs)
        rows: list[dict[str, Any]] = []
        with ProgressReport(f"measure {self.measure}", len(measured), "runs") as progress:
            for name, run in measured.items():
                start = {"run": name, "run_id": run.config.run_id()}
                rows += [start | row for row in MEASURES[self.measure](run)]
                progress.advance()
        write_text(runs / self.name / FILE, _as_csv(rows))
        write_json(runs / self.name / RECORD, self._record(runs))  # last: the table is whole

    def _runs(self, runs: Path) -> dict[str, RunFolder]:
        return {
            str(run.path.relative_to(runs)): run
            for name in self.of
            for run in load_runs(runs / name)
        }

    def _record(self, runs: Path) -> dict[str, Any]:
        """What the table is of."""
        of = {
            name: {"run_id": run.config.run_id(), "step": run.config.n_steps}
            for name, run in self._runs(runs).items()
        }
        return {"measure": self.measure, "runs": of}


def _as_csv(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
