"""Kept runs and tables, and the needs of figures."""

import contextlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coopetition.fitting.curves import Curves
from coopetition.fitting.reading import read_curves
from coopetition.tools.errors import UsageError, UserError
from paper_figures.core.kept_data import (
    DATA,
    SCALE,
    Rows,
    cache_until_changed,
    count_rows,
    curves_path,
    damaged_file_error,
    definition_hash,
    load_index,
    presets_of,
    rows_by_run,
    table_records,
)
from transformer.config.run import Scale
from transformer.measures.timeline import Timeline, timeline

Array = NDArray[np.float64]
METRIC = "in_context_accuracy"
NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"


class NotKeptError(UsageError):
    """A run or table that a figure needs was not trained, or not kept."""


@dataclass(frozen=True, slots=True)
class FigureRun:
    """Curves of one training run, and the run's record."""

    name: str
    path: Path
    provenance: dict[str, Any]

    @property
    def init_seed(self) -> int:
        """Return the seed of the initial parameters."""
        return self.provenance["config"]["init_seed"]

    @property
    def seeds(self) -> tuple[int, int]:
        """Return the seeds of the initial parameters and of the data."""
        return self.init_seed, self.provenance["config"]["data_seed"]

    @property
    def number(self) -> float:
        """Return the last number in the preset's name, as 9.75 of `coopetition/grafted_9.75M`."""
        return float(re.findall(NUMBER, self.provenance["preset"])[-1])

    @property
    def learning_rate(self) -> float:
        """Return the learning rate."""
        return self.provenance["config"]["optim"]["learning_rate"]

    @property
    def batch_size(self) -> int:
        """Return the number of sequences of each step."""
        return self.provenance["config"]["data"]["batch_size"]

    @property
    def n_evaluated(self) -> int:
        """Return the number of sequences of each evaluation."""
        return self.provenance["config"]["evaluation"]["n_sequences"]

    @property
    def rate_ratio(self) -> float:
        """Return the learning rate over the paper's: events come about so many times as early.

        The paper's rate is that of the same preset at scale paper; the ratio is 1 without a paper.
        """
        preset = self.provenance.get("preset", "")
        paper_rate = _paper_rate(preset) if "/" in preset else None
        return self.learning_rate / paper_rate if paper_rate else 1.0

    @property
    def n_sequences(self) -> float:
        """Return the number of sequences seen."""
        return self._sequences(self.provenance["step"])

    @property
    def started_at(self) -> float:
        """Return how many sequences the run it was started from had seen; 0 without such a run."""
        return self._sequences((self.provenance["config"].get("start") or {"step": 0})["step"])

    def _sequences(self, step: int) -> float:
        return float(step * self.batch_size)

    def lasts(self, millions: float) -> bool:
        """Return whether the run has so many millions of the paper's sequences."""
        return self.n_sequences * self.rate_ratio >= millions * 1e6

    def at(self, evaluator: str, millions: float, metric: str = METRIC) -> float:
        """Return a curve's value after so many millions of the paper's sequences, or at its end."""
        curves = self.curves(metric)
        x = millions * 1e6 / self.rate_ratio
        return float(np.interp(x, curves.sequences, curves.values[evaluator]))

    def curves(self, metric: str = METRIC) -> Curves:
        """Return a metric of every evaluator that has it, up to the run's last step."""
        if not self.path.exists():
            raise damaged_file_error(self.path, "it is missing")
        curves = _read_curves(self.path, metric)
        end, expected = curves.sequences[-1], self.n_sequences
        if end != expected:
            raise damaged_file_error(
                self.path, f"it ends at {end:.0f} sequences, its run at {expected:.0f}"
            )
        return curves

    def has_curve(self, evaluator: str, metric: str) -> bool:
        """Return whether an evaluator measured a metric."""
        with contextlib.suppress(UsageError):
            return evaluator in self.curves(metric).values
        return False

    def timeline(self, until: float = math.inf) -> Timeline:
        """Return the events of the first `until` sequences: emergence, peak, fade."""
        return timeline(self.curves().between(last=until))

    def finding(self) -> str:
        """Return the run's events in one line."""
        events = asdict(self.timeline()).items()
        texts = (f"{name} {'-' if x is None else f'{x:.3g}'}" for name, x in events)
        return f"{self.name}, in its own sequences: {', '.join(texts)}"

    def record(self) -> dict[str, Any]:
        """Return the run's record and events, for the record of a figure."""
        return self.provenance | {"events": asdict(self.timeline())}


@cache_until_changed(1000)  # a page asks several hundred runs for their curves many times
def _read_curves(path: Path, metric: str) -> Curves:
    return read_curves(path, metric, first=0)


@cache
def _paper_rate(preset: str) -> float | None:
    from transformer.experiments.presets import PRESETS

    named = PRESETS[preset]
    return named.config("paper").optim.learning_rate if "paper" in named.scales else None


@dataclass(frozen=True, slots=True)
class KeptTable:
    """Measurements of one run's models: rows of `transformer.runs.measures`."""

    run: FigureRun
    rows: Rows

    @property
    def init_seed(self) -> int:
        """Return the run's seed of the initial parameters."""
        return self.run.init_seed

    def select(self, **wanted: object) -> "KeptTable":
        """Return the rows with these values."""
        texts = {name: str(value) for name, value in wanted.items()}
        return replace(self, rows=[row for row in self.rows if texts.items() <= row.items()])

    def column(self, name: str = "value") -> Array:
        """Return a column of numbers; NaN where it is empty."""
        try:
            return np.array([float(row[name] or "nan") for row in self.rows])
        except ValueError as error:
            raise UserError(
                f"a table of {self.run.name} is damaged ({error}); restore it"
            ) from error

    def value(self) -> float:
        """Return the value of the only row."""
        (value,) = self.column()
        return float(value)

    def curves(self, by: str, over: str) -> dict[str, tuple[Array, Array]]:
        """Return (column `over`, values) for each value of column `by`."""
        names = dict.fromkeys(row[by] for row in self.rows)
        parts = {name: self.select(**{by: name}) for name in names}
        return {name: (part.column(over), part.column()) for name, part in parts.items()}


def _matched(pattern: str, scale: Scale, data: Path) -> Iterator[dict[str, Any]]:
    """Yield the kept entries of presets that match; `preset` is the one that does."""
    for entry in load_index(data):
        names = presets_of(entry)
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if matching and entry["scale"] == scale:
            also = [name for name in names if name != matching[0]]
            yield entry | {"preset": matching[0], "also": also}


def kept_runs(
    preset: str, first: int | None = None, scale: Scale = SCALE, data: Path = DATA
) -> list[FigureRun]:
    """Return the kept runs of a preset, or of all presets that match a pattern.

    They are sorted by preset and by seed; those of the initial seed `first` lead.
    """
    matching_presets(preset)
    runs = [
        FigureRun(_run_name(entry, scale), curves_path(entry, data), entry)
        for entry in _matched(preset, scale, data)
    ]
    runs.sort(key=lambda run: (run.init_seed != first, natural_key(run.name)))
    if not runs:
        raise NotKeptError(
            f"no run of preset {preset!r} is kept at scale {scale}; "
            + training_advice(preset, scale)
        )
    seeds = sorted({run.init_seed for run in runs})
    if first is not None and first not in seeds:
        raise UsageError(f"of {preset} no run of seed {first} is kept; choose one of {seeds}")
    return runs


def natural_key(text: str) -> list[tuple[float, str]]:
    """Return a key that sorts 2 before 10."""
    return [(float(n or 0), rest) for n, rest in re.findall(r"(\d+(?:\.\d+)?|)(\D*)", text)]


def _run_name(entry: dict[str, Any], scale: Scale) -> str:
    from transformer.experiments.presets import PRESETS

    preset = entry["preset"]
    is_alone = "/" in preset and not PRESETS[preset].at(SCALE).seeds  # in its paper's plan
    seed = "" if is_alone else f"_{entry['config']['init_seed']}"
    return preset + seed + ("" if scale == SCALE else f" ({scale})")


def kept_tables(
    preset: str,
    kind: str,
    first: int | None = None,
    scale: Scale = SCALE,
    data: Path = DATA,
) -> list[KeptTable]:
    """Return the kept tables of one kind, of a preset's runs, by seed; `first` leads.

    A table that is not whole, or that the plan now measures otherwise, raises `UserError`.
    """
    paper = preset.partition("/")[0]
    path = data / paper / f"{kind}.csv"
    by_run, records = rows_by_run(path), table_records(data).get(f"{paper}/{kind}", {})
    tables = [
        KeptTable(run, by_run.get(run.provenance["run_id"], []))
        for run in kept_runs(preset, first, scale, data)
        if run.provenance["run_id"] in {*by_run, *records}
    ]
    if not tables or first not in (None, tables[0].init_seed):
        of_seed = "" if first is None else f" and seed {first}"
        raise NotKeptError(
            f"no {kind} of preset {preset!r}{of_seed} is kept at scale {scale}; "
            + training_advice(preset, scale, kind)
        )
    for table in tables:
        if why := _mismatch(table, kind, records, _definitions(paper, scale)):
            advice = training_advice(preset, scale, kind)
            raise UserError(f"{path}, {table.run.name}: {why}; restore it, or {advice}")
    return tables


@cache
def _definitions(paper: str, scale: Scale) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the definitions of measures by node, of a paper's plan."""
    from transformer.experiments.plans import load_plan
    from transformer.sweeps.measure import Table

    nodes = load_plan(paper, scale).nodes
    return {name: node.definitions() for name, node in nodes.items() if isinstance(node, Table)}


def _mismatch(
    table: KeptTable,
    kind: str,
    records: dict[str, Any],
    definitions: dict[str, dict[str, dict[str, Any]]],
) -> str:
    """Return how a table differs from its record or from the plan; empty if it does not."""
    record = records.get(table.run.provenance["run_id"])
    if record is None:
        return "the table is stale: tables.json has no record of how it was measured"
    n_rows, measures = count_rows(table.rows, kind), record["measures"]
    for name in n_rows | measures:
        expected = measures.get(name, {"n_rows": 0})["n_rows"]
        if n_rows[name] != expected:
            return f"the table is damaged: {n_rows[name]} rows of {name}, expected {expected}"
    for name, own in measures.items():
        now = definitions.get(record["node"], {}).get(name)
        if now is None or definition_hash(now) != own["hash"]:
            return f"the table is stale: the plan now defines {name} otherwise"
    return ""


def matching_presets(preset: str) -> list[str]:
    """Return the presets that a name or pattern stands for; `UsageError` if none does."""
    from transformer.experiments.presets import PRESETS

    names = [name for name in PRESETS if fnmatchcase(name, preset)]
    if not names:
        raise UsageError(f"preset {preset!r} is unknown; see `python -m transformer presets`")
    return names


def check_scale_of(preset: str, scale: Scale) -> None:
    """Raise `UsageError` unless a preset, or the first that matches a pattern, has this scale."""
    from transformer.experiments.presets import PRESETS

    PRESETS[matching_presets(preset)[0]].at(scale)


def node_pattern(preset: str, kind: str = "") -> str:
    """Return the pattern of a preset's runs, or of their tables, in the paper's plan."""
    from transformer.experiments.presets import PRESETS

    name = "_".join(filter(None, (kind, preset.partition("/")[2])))
    if "*" in preset:
        return name
    named = PRESETS[preset].at(SCALE)
    has_nodes = named.seeds and not named.together
    return f"{name}_[0-9]*" if has_nodes else name  # not `icl_only_clamped_5`


def training_advice(preset: str, scale: Scale, kind: str = "") -> str:
    """Return how to train a run, or measure a table, that is not kept."""
    paper, slash, _ = preset.partition("/")
    if not slash:
        return f"train it by `python -m transformer train --preset {preset} --out RUN`"
    node = node_pattern(preset, kind)
    only = f"'{node}'" if "*" in node else node
    return (
        f"make it by `python -m transformer sweep {paper} --scale {scale} --runs DIR --only {only}`"
        f" and `python -m paper_figures keep DIR --paper {paper} --scale {scale}`"
    )


@dataclass(frozen=True, slots=True)
class Runs:
    """A figure's need of the runs of a preset, or of all presets that match a pattern.

    measured : kind of the tables that were measured on these runs, such as `induction`.  `draw`
        takes a list of `KeptTable` for such a need, and else a list of `FigureRun`
    optional : whether the figure is drawn without them too
    scale : of the runs, whatever the figure's own
    """

    preset: str
    measured: str = ""
    _: KW_ONLY
    optional: bool = False
    scale: Scale | None = None

    def __str__(self) -> str:
        return f"{self.measured} of {self.preset}" if self.measured else self.preset

    @property
    def node(self) -> str:
        """Return the pattern of the nodes that make it, in its paper's plan."""
        return node_pattern(self.preset, self.measured)

    def find(self, first: int | None = None, scale: Scale = SCALE, data: Path = DATA) -> list[Any]:
        """Return what is kept; `NotKeptError` if nothing is."""
        at = self.scale or scale
        if self.measured:
            return kept_tables(self.preset, self.measured, first, at, data)
        return kept_runs(self.preset, first, at, data)

    def seeds(self, scale: Scale) -> set[int]:
        """Return the initial seeds of what is kept, without reading it."""
        table = f"{self.preset.partition('/')[0]}/{self.measured}"
        measured = table_records().get(table, {}) if self.measured else None
        return {
            entry["config"]["init_seed"]
            for entry in _matched(self.preset, self.scale or scale, DATA)
            if measured is None or entry["run_id"] in measured
        }

    def missing(self, found: Sequence[Any]) -> list[str]:
        """Return the presets of which no run was found, or this need if no table was."""
        if self.measured:
            return [] if found else [str(self)]
        kept = {name for run in found for name in presets_of(run.provenance)}
        return [name for name in matching_presets(self.preset) if name not in kept]


def find_needs(
    needs: Iterable[Runs], first: int | None = None, scale: Scale = SCALE, data: Path = DATA
) -> list[list[Any]]:
    """Return what is kept of each need; nothing for an optional one of which nothing is."""
    found = []
    for need in needs:
        try:
            own: list[Any] = need.find(None if need.optional else first, scale, data)
        except NotKeptError:
            if not need.optional:
                raise
            own = []
        found.append(sorted(own, key=lambda each: need.optional and each.init_seed != first))
    return found


def by_number(runs: Iterable[FigureRun]) -> dict[float, list[FigureRun]]:
    """Return runs by the number in their preset's name, in ascending order."""
    grouped: dict[float, list[FigureRun]] = {}
    for run in sorted(runs, key=lambda run: run.number):
        grouped.setdefault(run.number, []).append(run)
    return grouped
