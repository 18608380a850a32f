"""The nodes that measure runs, into tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import to_csv, write_json, write_text
from transformer.config.interventions import Intervention, check_interventions
from transformer.config.plain import to_named_dict
from transformer.data.evaluators import evaluators_of
from transformer.measures import all_settings, find_measures
from transformer.runs.folder import RunFolder, load_run, load_runs
from transformer.runs.measures import measure_run, thin_steps, write_model_table
from transformer.sweeps.plan import Node, grafted
from transformer.sweeps.train import Train, check_grafts
from transformer.training.machine import Machine

FILE, RECORD = "table.csv", "table.json"
SPACING = 0.02  # of checkpoints
Steps = Literal["all", "spaced", "last"]


@dataclass(frozen=True, kw_only=True)
class Table(Node):
    """Base of the nodes that write a table, with a column `run_id`."""

    @property
    def kind(self) -> str:
        """What is measured, in a word: tables of one kind differ by their runs alone."""
        raise NotImplementedError

    def check(self, nodes: Mapping[str, Node]) -> None:
        """Raise `UsageError` if it measures what trains nothing."""
        if not self.needs:
            raise UsageError(f"{self.name} measures no runs; name some")
        for name in self.needs:
            if not isinstance(nodes[name], Train):
                raise UsageError(f"{self.name} measures {name}, which trains nothing")

    def is_done(self, runs: Path) -> bool:
        """Whether the table is there, of the runs that are there."""
        folder = runs / self.name
        try:
            record = json.loads((folder / RECORD).read_text())
            wanted = json.loads(json.dumps(self.record(runs)))
        except (FileNotFoundError, ValueError, UserError):
            return False  # a run that is missing or damaged is its own node's to tell
        return (folder / FILE).exists() and record == wanted

    def work(self, runs: Path, device: str, threads: int) -> None:
        """Write the table, and then its record, which marks it as complete."""
        with Machine.choose(device, threads, "eager").use():
            self.write(runs, runs / self.name / FILE)
        write_json(runs / self.name / RECORD, self.record(runs))

    def write(self, runs: Path, file: Path) -> None:
        """Write the table."""
        raise NotImplementedError

    def record(self, runs: Path) -> dict[str, Any]:
        """What the table is of."""
        raise NotImplementedError

    def definitions(self) -> dict[str, dict[str, Any]]:
        """Return by measure what its rows depend on beside the runs."""
        raise NotImplementedError

    def runs(self, runs: Path) -> dict[str, RunFolder]:
        """The runs that it measures, by their place."""
        return {
            str(run.path.relative_to(runs.resolve())): run
            for name in self.needs
            for run in load_runs(runs / name)
        }

    def lengths(self, runs: Path) -> dict[str, dict[str, Any]]:
        """Which runs it measures, and how long they are."""
        return {
            name: {"run_id": run.config.run_id(), "step": run.config.n_steps}
            for name, run in self.runs(runs).items()
        }


@dataclass(frozen=True, kw_only=True)
class Measure(Table):
    """A measure per run or per checkpoint (`transformer.measures`) of the runs of other nodes."""

    measure: str
    of: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The measure."""
        return self.measure

    @property
    def needs(self) -> tuple[str, ...]:
        """The runs that it measures."""
        return self.of

    def check(self, nodes: Mapping[str, Node]) -> None:
        """Raise `UsageError` for what is no measure, or no run."""
        find_measures([self.measure], "run", "checkpoint")
        super().check(nodes)

    def write(self, runs: Path, file: Path) -> None:
        """Write the table: the columns `run` and `run_id`, and those of the measure."""
        measured = self.runs(runs)
        rows: list[dict[str, Any]] = []
        with ProgressReport(f"measure {self.measure}", len(measured), "runs") as progress:
            for name, run in measured.items():
                start = {"run": name, "run_id": run.config.run_id()}
                rows += [start | row for row in measure_run(run, self.measure)]
                progress.advance()
        write_text(file, to_csv(rows))

    def record(self, runs: Path) -> dict[str, Any]:
        """The measure, and the runs."""
        return {"measure": self.measure, "runs": self.lengths(runs)}

    def definitions(self) -> dict[str, dict[str, Any]]:
        """See `Table`."""
        return {self.measure: {}}


@dataclass(frozen=True, kw_only=True)
class Readings(Table):
    """Measures per evaluator (`transformer.measures`) of a run's model at checkpoints.

    At `all` of them, at those that are at least 2 % of the steps apart (`spaced`), or at the last.

    With `interventions`, the models are measured under them; the `checkpoint` of a graft is then
    a path within the folder of all runs.
    """

    measures: tuple[str, ...]
    of: str
    steps: Steps = "last"
    evaluators: tuple[str, ...] = ()
    interventions: tuple[Intervention, ...] = ()

    @property
    def kind(self) -> str:
        """Its name, but for the run's at the end."""
        return self.name.removesuffix(f"_{self.of}")

    @property
    def needs(self) -> tuple[str, ...]:
        """The run, and those that it is grafted with."""
        return tuple(dict.fromkeys((self.of, *grafted(self.interventions))))

    def check(self, nodes: Mapping[str, Node]) -> None:
        """Raise `UsageError` for what is no measure, or no single run."""
        find_measures(self.measures, "evaluator")
        super().check(nodes)
        node = nodes[self.of]
        configs = node.configs if isinstance(node, Train) else {}
        if "" not in configs:
            raise UsageError(f"{self.name} measures {self.of}, which are several runs; name one")
        config = configs[""]
        check_grafts(self.name, self.interventions, nodes)
        check_interventions((*config.interventions, *self.interventions), config.model)
        names = evaluators_of(config).data
        if unknown := [name for name in self.evaluators if name not in names]:
            raise UsageError(
                f"{self.name}: evaluator {unknown[0]!r} is not among those of {self.of}: "
                + ", ".join(names)
            )

    def write(self, runs: Path, file: Path) -> None:
        """Write the table, or go on with it."""
        run = load_run(runs / self.of)
        steps = [step for step in run.steps() if run.config.is_checkpoint(step)]
        chosen = {"all": steps, "spaced": thin_steps(steps, SPACING), "last": steps[-1:]}
        write_model_table(
            run,
            self.measures,
            file,
            steps=chosen[self.steps],
            evaluators=self.evaluators or None,
            interventions=tuple(each.relative_to(runs) for each in self.interventions),
        )

    def record(self, runs: Path) -> dict[str, Any]:
        """The measures, where, under what, and the runs."""
        return {
            "measures": list(self.measures),
            **self._conditions(),
            **all_settings(self.measures),
            "runs": self.lengths(runs),
        }

    def definitions(self) -> dict[str, dict[str, Any]]:
        """See `Table`."""
        return {name: self._conditions() | all_settings([name]) for name in self.measures}

    def _conditions(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "evaluators": list(self.evaluators),
            "interventions": [to_named_dict(each) for each in self.interventions],
        }
