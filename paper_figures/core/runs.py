"""Where figures get their runs: curves that are kept, of runs made before, or a run trained now.

What figures need of the trainer, and what stands for it: kept runs, and kept tables.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coopetition.compare.curves import Curves, read_curves
from coopetition.tools.errors import UsageError, UserError, abbreviate
from paper_figures.core.kept_data import (
    DATA,
    Rows,
    count_rows,
    damaged,
    definition_hash,
    index,
    path_of,
    read_json,
    rows_by_run,
    table_records,
)
from transformer.config import RunConfig
from transformer.config.run import Scale
from transformer.experiments.plans import load_plan
from transformer.experiments.presets import PRESETS
from transformer.measures.events import Timeline, timeline
from transformer.runs.export import export
from transformer.runs.loop import train_or_resume
from transformer.sweeps.measure import Table
from transformer.sweeps.plan import missing_file_kind
from transformer.training.machine import Machine

SCALE: Scale = "cpu"  # of the runs that figures are drawn from, unless another is asked for


class NotKeptError(UsageError):
    """What a figure needs was not made, or not kept."""


@dataclass(frozen=True, slots=True)
class FigureRun:
    """Curves of one training run, and what they are curves of."""

    name: str
    path: Path
    provenance: dict[str, Any]

    @property
    def init_seed(self) -> int:
        """The seed of the run's initial parameters."""
        return self.provenance["config"]["init_seed"]

    @property
    def seeds(self) -> tuple[int, int]:
        """Return the seeds of the initial parameters and of the data."""
        return self.init_seed, self.provenance["config"]["data_seed"]

    @property
    def rate_ratio(self) -> float:
        """Its learning rate over the paper's: so many times as early its events come, roughly.

        The paper's is that of the same preset at scale paper; of a run of no paper, the 1e-5 of
        most of its runs.
        """
        preset = self.provenance.get("preset", "")
        paper = PRESETS[preset].config("paper").optim.learning_rate if "/" in preset else 1e-5
        return self.learning_rate / paper

    @property
    def learning_rate(self) -> float:
        """Its own."""
        return self.provenance["config"]["optim"]["learning_rate"]

    @property
    def n_sequences(self) -> float:
        """Sequences seen in all."""
        return float(self._last)

    @property
    def _last(self) -> int:
        return self.provenance["step"] * self.provenance["config"]["data"]["batch_size"]

    @property
    def started_at(self) -> float:
        """Sequences that the run had seen from whose checkpoint it started."""
        config = self.provenance["config"]
        start = config.get("start")
        return float(start["step"] * config["data"]["batch_size"]) if start else 0.0

    def lasts(self, millions: float) -> bool:
        """Whether it goes on for so many millions of the paper's sequences."""
        return self.n_sequences * self.rate_ratio >= millions * 1e6

    def at(self, evaluator: str, millions: float, metric: str = "in_context_accuracy") -> float:
        """A curve's value after so many of the paper's millions of sequences, or at its end."""
        curves = self.curves(metric)
        x = millions * 1e6 / self.rate_ratio
        return float(np.interp(x, curves.sequences, curves.values[evaluator]))

    def curves(self, metric: str) -> Curves:
        """One metric of every evaluator that has it, up to the run's last step."""
        if not self.path.exists():
            raise damaged(self.path, "it is missing")
        found = read_curves(self.path, metric)
        ends, last = found.sequences[-1], self._last
        if ends != last:
            raise damaged(self.path, f"it ends at {ends:.0f} sequences, its run at {last:.0f}")
        return found

    def measured(self, evaluator: str, metric: str) -> bool:
        """Whether it has such a curve."""
        with contextlib.suppress(UsageError):
            return evaluator in self.curves(metric).values
        return False

    def timeline(self, until: float = math.inf) -> Timeline:
        """When ICL emerged, peaked and faded, within the first `until` sequences."""
        return timeline(self.curves("in_context_accuracy").between(last=until))

    def finding(self) -> str:
        """Its events in a line."""
        events = asdict(self.timeline()).items()
        found = ", ".join(f"{name} {'-' if x is None else f'{x:.3g}'}" for name, x in events)
        return f"{self.name}, in its own sequences: {found}"

    def record(self) -> dict[str, Any]:
        """Its provenance and its events, for the record of a figure."""
        return self.provenance | {"events": asdict(self.timeline())}


@dataclass(frozen=True, slots=True)
class KeptTable:
    """What was measured of one run's models: rows of `transformer.runs.measures`."""

    run: FigureRun
    rows: list[dict[str, str]]

    @property
    def init_seed(self) -> int:
        """That of the run."""
        return self.run.init_seed

    def select(self, **wanted: object) -> "KeptTable":
        """The rows that have such values."""
        texts = {name: str(value) for name, value in wanted.items()}
        rows = [row for row in self.rows if texts.items() <= row.items()]
        return replace(self, rows=rows)

    def column(self, name: str) -> NDArray[np.float64]:
        """A column of numbers."""
        try:
            return np.array([float(row[name]) for row in self.rows])
        except ValueError as error:
            raise UsageError(
                f"what was measured of {self.run.name} is damaged: in column {name}, {error}; put "
                "the table back, or keep it anew"
            ) from error

    def value(self) -> float:
        """The value of the one row that there is."""
        (row,) = self.rows
        return float(row["value"])

    def curves(self, by: str, over: str) -> dict[str, tuple[NDArray[np.float64], ...]]:
        """Column `over` and the values, for each that there is in column `by`."""
        names = dict.fromkeys(row[by] for row in self.rows)
        parts = {name: self.select(**{by: name}) for name in names}
        return {name: (each.column(over), each.column("value")) for name, each in parts.items()}


def _kept(preset: str, scale: Scale, data: Path) -> Iterator[FigureRun]:
    for entry in index(data):
        if preset in (entry["preset"], *entry.get("also", ())) and entry["scale"] == scale:
            # of one run in its paper's plan
            alone = "/" in preset and not PRESETS[preset].at(SCALE).seeds
            of_seed = "" if alone else f"_{entry['config']['init_seed']}"
            of_scale = "" if scale == SCALE else f" ({scale})"
            yield FigureRun(preset + of_seed + of_scale, path_of(entry, data), entry)


def kept_runs(
    preset: str, first: int | None = None, scale: Scale = SCALE, data: Path = DATA
) -> list[FigureRun]:
    """The runs of a preset whose curves are kept in `data`, by seed; longer and shorter ones too.

    The one of seed `first` leads, if given.
    """
    _check_known(preset)
    runs = list(_kept(preset, scale, data))
    if not runs:
        there = {entry["preset"] for entry in index(data) if entry["scale"] == scale}
        kept = sorted(there, key=lambda name: ("/" in name, name))
        kept = [*dict.fromkeys(get_close_matches(preset, kept) + kept)]
        others = f", or choose one that is kept: {abbreviate(kept)}" if kept else ""
        raise NotKeptError(
            f"no run of preset {preset!r} is kept at scale {scale}; {_make(preset, scale)}{others}"
        )
    seeds = sorted(run.init_seed for run in runs)
    if first is not None and first not in seeds:
        raise UsageError(f"of {preset} no run of seed {first} is kept; choose one of {seeds}")
    return sorted(runs, key=lambda run: (run.init_seed != first, run.init_seed))


def kept_tables(
    kind: str,
    preset: str,
    first: int | None = None,
    scale: Scale = SCALE,
    data: Path = DATA,
) -> list[KeptTable]:
    """What was measured of the models of a preset's runs and is kept, by seed; `first` leads.

    A table that is not whole, or was measured otherwise than the plan does now, raises `UserError`.
    """
    runs = kept_runs(preset, first, scale, data)
    paper = preset.partition("/")[0]
    path = data / paper / f"{kind}.csv"
    by_run = rows_by_run(path)
    ids = {run.provenance["run_id"]: run for run in runs}
    records = table_records(data).get(f"{paper}/{kind}", {})
    there = {*by_run, *records}
    tables = [KeptTable(run, by_run.get(each, [])) for each, run in ids.items() if each in there]
    if not tables or first not in (None, tables[0].run.init_seed):
        of_seed = "" if first is None else f" and seed {first}"
        raise NotKeptError(
            f"no {kind} of preset {preset!r}{of_seed} is kept at scale {scale}; "
            + _make(preset, scale, kind)
        )
    definitions = _definitions(paper, scale)
    for table in tables:
        if why := _mismatch(kind, table.rows, records, table.run, definitions):
            raise UserError(
                f"{path}, {table.run.name}: {why}; restore it, or " + _make(preset, scale, kind)
            )
    return tables


@cache
def _definitions(paper: str, scale: Scale) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the definitions of measures by node, of a paper's plan."""
    nodes = load_plan(paper, scale).nodes
    return {name: node.definitions() for name, node in nodes.items() if isinstance(node, Table)}


def _mismatch(
    kind: str,
    rows: Rows,
    records: dict[str, Any],
    run: FigureRun,
    definitions: dict[str, dict[str, dict[str, Any]]],
) -> str:
    """Return how a run's rows differ from their record or from the plan; empty if they do not."""
    record = records.get(run.provenance["run_id"])
    if record is None:
        return "the table is stale: tables.json has no record of how it was measured"
    n_rows, measures = count_rows(rows, kind), record["measures"]
    for name in n_rows | measures:
        expected = measures.get(name, {"n_rows": 0})["n_rows"]
        if n_rows[name] != expected:
            return f"the table is damaged: {n_rows[name]} rows of {name}, expected {expected}"
    for name, own in measures.items():
        now = definitions.get(record["node"], {}).get(name)
        if now is None or definition_hash(now) != own["hash"]:
            return f"the table is stale: the plan now defines {name} otherwise"
    return ""


def _check_known(preset: str) -> None:
    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r} is unknown; see `python -m transformer presets`")


def node_of(preset: str, kind: str = "") -> str:
    """The pattern of a preset's runs, or of what `kind` measures of them, in its paper's plan."""
    name = "_".join(filter(None, (kind, preset.partition("/")[2])))
    named = PRESETS[preset].at(SCALE)
    has_nodes = named.seeds and not named.together
    return f"{name}_[0-9]*" if has_nodes else name  # not `icl_only_clamped_5`


def _make(preset: str, scale: Scale, kind: str = "") -> str:
    """What makes a run of a preset that is not kept, or what measures it, as advice."""
    if not _needs_others(preset):
        return f"train it by `python -m paper_figures preset {preset} --scale {scale} --retrain`"
    paper, node = preset.partition("/")[0], node_of(preset, kind)
    only = f"'{node}'" if "*" in node else node
    return (
        f"make it by `python -m transformer sweep {paper} --scale {scale} --runs DIR --only {only}`"
        f" and `python -m paper_figures keep DIR --paper {paper} --scale {scale}`"
    )


def _needs_others(preset: str) -> bool:
    """Whether runs of a preset need what other nodes of its paper's plan make."""
    named = PRESETS[preset].at(SCALE)
    return bool(named.starts_from or missing_file_kind(named.config.data.exemplars))


def trained_run(
    preset: str, out: Path, *, init_seed: int | None, scale: Scale = SCALE
) -> FigureRun:
    """Train a preset now, into `out/runs`, and keep its curves beside the run."""
    _check_known(preset)
    if _needs_others(preset):
        raise UsageError(
            f"preset {preset!r} needs more than --retrain makes; {_make(preset, scale)}"
        )
    config = PRESETS[preset].config(scale)
    config = replace(config, init_seed=config.init_seed if init_seed is None else init_seed)
    machine = Machine.choose(n_steps=config.n_steps)
    folder = out / "runs" / f"{preset.replace('/', '_')}_{config.init_seed}"
    return finished_run(config, folder, machine)


def finished_run(config: RunConfig, folder: Path, machine: Machine) -> FigureRun:
    """Train a run (or go on with it) and keep its curves beside its folder."""
    path = folder.with_suffix(".csv")
    export(train_or_resume(config, folder, machine), path)
    return FigureRun(folder.name, path, read_json(path.with_suffix(".json")))


class Need(Protocol):
    """One thing that a figure's `draw` takes."""

    @property
    def preset(self) -> str:
        """Whose runs it is about."""
        ...

    @property
    def optional(self) -> bool:
        """Whether the figure is drawn without it too."""
        ...

    @property
    def scale(self) -> Scale | None:
        """Of what it is, whatever the figure's own; without, the figure's."""
        ...

    @property
    def node(self) -> str:
        """The pattern of what makes it, in the plan of the preset's paper."""
        ...

    def found(self, first: int | None = None, scale: Scale = SCALE, data: Path = DATA) -> list[Any]:
        """What is kept of it, a seed each, `first` first; `NotKeptError` where nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of a preset, a seed each: `draw` takes a list of `FigureRun`."""

    preset: str
    optional: bool = False
    scale: Scale | None = None

    def __str__(self) -> str:
        return self.preset

    @property
    def node(self) -> str:
        """See `Need`."""
        return node_of(self.preset)

    def found(
        self, first: int | None = None, scale: Scale = SCALE, data: Path = DATA
    ) -> list[FigureRun]:
        """See `Need`."""
        return kept_runs(self.preset, first, self.scale or scale, data)


@dataclass(frozen=True, slots=True)
class Tables:
    """What was measured of models in runs of a preset: `draw` takes a list of `KeptTable`.

    `kind` : of the sweep's nodes that measure it, see `transformer.experiments.coopetition`
    """

    kind: str
    preset: str
    optional: bool = False
    scale: Scale | None = None

    def __str__(self) -> str:
        return f"{self.kind} of {self.preset}"

    @property
    def node(self) -> str:
        """See `Need`."""
        return node_of(self.preset, self.kind)

    def found(
        self, first: int | None = None, scale: Scale = SCALE, data: Path = DATA
    ) -> list[KeptTable]:
        """See `Need`."""
        return kept_tables(self.kind, self.preset, first, self.scale or scale, data)


def all_found(
    needs: tuple[Need, ...],
    first: int | None = None,
    scale: Scale = SCALE,
    data: Path = DATA,
) -> list[list[Any]]:
    """What is kept of each need; nothing where an optional one is not."""
    return [_found(need, first, scale, data) for need in needs]


def _found(need: Need, first: int | None, scale: Scale, data: Path) -> list[Any]:
    if not need.optional:
        return need.found(first, scale, data)
    try:
        own = need.found(None, scale, data)
    except NotKeptError:
        return []
    return sorted(own, key=lambda each: each.init_seed != first)
