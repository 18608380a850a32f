"""The nodes that measure runs, into tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import to_csv, write_json, write_text
from transformer.config import RunConfig
from transformer.config.interventions import Intervention, check_interventions
from transformer.config.plain import to_named_dict
from transformer.data.encoders.base import hash_of
from transformer.data.evaluators import evaluators_of
from transformer.measures import PER_RUN, all_settings, find_measures
from transformer.measures.gradients import check_measurable
from transformer.runs.folder import load_run, load_runs
from transformer.runs.measures import measure_run, thin_steps, write_model_table
from transformer.sweeps.plan import Node, graft_sources
from transformer.sweeps.train import Train, check_grafts, find_run
from transformer.training.machine import Machine

FILE, RECORD = "table.csv", "table.json"
CONTENT = "table_hash"  # name in the record
SPACING = 0.02  # relative, between the steps of `spaced` checkpoints
Steps = Literal["all", "spaced", "last"]


@dataclass(frozen=True, kw_only=True)
class Table(Node):
    """Base of the nodes that write a table with a column `run_id`."""

    @property
    def kind(self) -> str:
        """Return what is measured; tables of one kind differ only by their runs."""
        raise NotImplementedError

    @property
    def measured(self) -> tuple[str, ...]:
        """Return the nodes, or NODE/RUN, whose runs it depends on."""
        return self.needs

    def check(self, nodes: Mapping[str, Node]) -> None:
        if not self.needs:
            raise UsageError(f"{self.name} measures no runs; name some")
        for name in self.needs:
            if not isinstance(nodes[name], Train):
                raise UsageError(f"{self.name} measures {name}, which is not a training node")

    def is_done(self, runs: Path) -> bool:
        """Return whether the table is there, undamaged, of the runs that are there.

        A record of an older version has no hash; then any table is accepted.
        """
        folder = runs / self.name
        try:
            content = hash_of(folder / FILE)
            record = {CONTENT: content} | json.loads((folder / RECORD).read_text())
            wanted = json.loads(json.dumps(self._whole_record(runs, content)))
        except (FileNotFoundError, TypeError, ValueError, UserError):
            return False  # a missing or damaged run is reported by its own node
        return record == wanted

    def execute(self, runs: Path, device: str, threads: int) -> None:
        """Write the table, and then its record, which marks it as complete."""
        folder = runs / self.name
        with Machine.choose(device, threads, "eager").use():
            self.write(runs, folder / FILE)
        write_json(folder / RECORD, self._whole_record(runs, hash_of(folder / FILE)))

    def _whole_record(self, runs: Path, content: str) -> dict[str, Any]:
        """Return the record of a table with this hash."""
        return self.record(runs) | {CONTENT: content}

    def write(self, runs: Path, file: Path) -> None:
        """Write the table."""
        raise NotImplementedError

    def record(self, runs: Path) -> dict[str, Any]:
        """Return what the table depends on, the runs included."""
        raise NotImplementedError

    def definitions(self) -> dict[str, dict[str, Any]]:
        """Return what the rows of each measure depend on, the runs excluded."""
        raise NotImplementedError

    def measured_runs(self, runs: Path) -> dict[str, dict[str, Any]]:
        """Return the ids and lengths of the measured runs, by their path within `runs`."""
        return {
            str(run.path.relative_to(runs.resolve())): {
                "run_id": run.config.run_id(),
                "step": run.config.n_steps,
            }
            for name in self.measured
            for run in load_runs(runs / name)
        }


@dataclass(frozen=True, kw_only=True)
class RunTable(Table):
    """A table of a measure per run, checkpoint or state, of the runs of other nodes."""

    measure: str
    of: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.measure

    @property
    def needs(self) -> tuple[str, ...]:
        return self.of

    def check(self, nodes: Mapping[str, Node]) -> None:
        (measure,) = find_measures([self.measure], *PER_RUN).values()
        super().check(nodes)
        for name in self.of if measure.per == "state" else ():
            node = nodes[name]
            assert isinstance(node, Train)
            for config in node.configs.values():
                _check_states(f"{self.name} measures states of {name}", config)

    def write(self, runs: Path, file: Path) -> None:
        measured = self.measured_runs(runs)
        rows: list[dict[str, Any]] = []
        with ProgressReport(f"measure {self.measure}", len(measured), "runs") as progress:
            for name, run in measured.items():
                start = {"run": name, "run_id": run["run_id"]}
                rows += [start | row for row in measure_run(load_run(runs / name), self.measure)]
                progress.advance()
        write_text(file, to_csv(rows))

    def record(self, runs: Path) -> dict[str, Any]:
        settings = all_settings([self.measure])
        return {"measure": self.measure, **settings, "runs": self.measured_runs(runs)}

    def definitions(self) -> dict[str, dict[str, Any]]:
        return {self.measure: all_settings([self.measure])}


def _check_states(purpose: str, config: RunConfig) -> None:
    """Raise `UsageError` unless a run keeps states that can be measured."""
    if config.keep[1] != "all":
        raise UsageError(f"{purpose}, which keeps the last alone; make its keep `all all`")
    try:
        check_measurable(config)
    except UsageError as error:
        raise UsageError(f"{purpose}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class ModelTable(Table):
    """A table of measures per evaluator, of a run's models at checkpoints.

    `of` is the run's node, or NODE/RUN where it has several. `steps` selects all checkpoints, those
    at least 2 % apart (`spaced`), or the last. With `interventions`, the models are measured under
    them; the `checkpoint` of a graft is a path within the folder of all runs.
    """

    measures: tuple[str, ...]
    of: str
    steps: Steps = "last"
    evaluators: tuple[str, ...] = ()
    interventions: tuple[Intervention, ...] = ()

    @property
    def kind(self) -> str:
        """Return its name without that of the run at the end."""
        return self.name.removesuffix(f"_{self.of}")

    @property
    def measured(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.of, *graft_sources(self.interventions))))

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.partition("/")[0] for name in self.measured))

    def check(self, nodes: Mapping[str, Node]) -> None:
        find_measures(self.measures, "evaluator")
        super().check(nodes)
        node, _, run = self.of.partition("/")
        config = find_run(f"{self.name} measures", node, run, nodes)
        check_grafts(self.name, self.interventions, nodes)
        check_interventions((*config.interventions, *self.interventions), config.model)
        names = evaluators_of(config).data
        if unknown := [name for name in self.evaluators if name not in names]:
            raise UsageError(
                f"{self.name}: evaluator {unknown[0]!r} is not among those of {self.of}: "
                + ", ".join(names)
            )

    def write(self, runs: Path, file: Path) -> None:
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
        conditions, settings = self._conditions(), all_settings(self.measures)
        runs_record = {"runs": self.measured_runs(runs)}
        return {"measures": list(self.measures)} | conditions | settings | runs_record

    def definitions(self) -> dict[str, dict[str, Any]]:
        return {name: self._conditions() | all_settings([name]) for name in self.measures}

    def _conditions(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "evaluators": list(self.evaluators),
            "interventions": [to_named_dict(each) for each in self.interventions],
        }
