"""Plans as TOML files: tables of features, runs and measures by name.

    [features.drawings]
    drawings = { kind = "glyphs", n_classes = 256 }
    encoder = { kind = "own", weights = "encoder.safetensors" }
    reduction = { components = 64 }

    [run.first]
    preset = "smoke"                                 # where its settings start from
    change = { init_seed = 6, "optim.learning_rate" = 1e-3 }

    [run.second]
    preset = "smoke"
    after = "first"                                  # from its checkpoint of start.step
    change = { "start.step" = 100, "start.parts" = ["output.0"], frozen = ["output.0"] }

    [run.pair]
    preset = "smoke"
    vary = { init_seed = [7, 8] }                    # a run at each value, trained as one

    [measure.norms]
    measure = "weight_norms"
    of = ["first", "second"]

A run whose exemplars are features names those by `exemplars = "drawings"`.
"""

import json
import tomllib
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError
from transformer.config import to_dict
from transformer.config.encoders import ENCODERS
from transformer.config.exemplars import KINDS
from transformer.config.plain import from_dict
from transformer.config.registry import Registry
from transformer.data.reduction import ReductionConfig
from transformer.experiments.preset import PRESETS, Scale
from transformer.runs.ensemble import vary
from transformer.sweeps.features import Features
from transformer.sweeps.measure import Measure
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.train import Train

Table = dict[str, Any]


def read_plan(path: Path, scale: Scale) -> Plan:
    """The plan of a TOML file; what it does not understand raises `UsageError`."""
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"plan {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"plan {path} is no TOML ({error})") from error
    readers: Mapping[str, Callable[[str, Table], Node]] = {
        "features": _features,
        "run": lambda name, table: _run(name, table, scale),
        "measure": _measure,
    }
    _check(f"plan {path}", tables, set(readers))
    return Plan(
        readers[kind](name, _check_table(f"{kind}.{name}", table))
        for kind, named in tables.items()
        for name, table in _check_table(kind, named).items()
    )


def _features(name: str, table: Table) -> Features:
    _check(name, table, {"drawings", "encoder", "reduction", "what"}, {"drawings", "encoder"})
    reduction = to_dict(ReductionConfig()) | table.get("reduction", {})
    return Features(
        name=name,
        what=table.get("what", ""),
        drawings=_kind(f"{name}.drawings", table["drawings"], KINDS),
        encoder=_kind(f"{name}.encoder", table["encoder"], ENCODERS),
        reduction=from_dict(ReductionConfig, reduction, f"{name}.reduction"),
    )


def _run(name: str, table: Table, scale: Scale) -> Train:
    names = {"preset", "change", "vary", "after", "longer_than", "exemplars", "what"}
    _check(name, table, names, {"preset"})
    config = PRESETS[table["preset"]].make(scale)
    if change := table.get("change"):
        texts = {field: [_text(value)] for field, value in change.items()}
        (config,) = vary(config, texts).values()
    axes = {field: [*map(_text, values)] for field, values in table.get("vary", {}).items()}
    rest = {each: table[each] for each in names - {"preset", "change", "vary"} if each in table}
    return Train(name=name, config=vary(config, axes) if axes else config, **rest)


def _measure(name: str, table: Table) -> Measure:
    _check(name, table, {"measure", "of", "what"}, {"measure", "of"})
    return Measure(
        name=name, measure=table["measure"], of=tuple(table["of"]), what=table.get("what", "")
    )


def _kind(where: str, table: Any, registry: Registry[Any]) -> Any:
    """What a table with a name of the registry as its `kind` stands for."""
    _check(where, _check_table(where, table), {*table}, {"kind"})
    kind = registry[table["kind"]]
    given = {name: value for name, value in table.items() if name != "kind"}
    return from_dict(kind, to_dict(kind()) | given, where)


def _text(value: Any) -> str:
    """As `vary` reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def _check_table(where: str, table: Any) -> Table:
    if not isinstance(table, dict):
        raise UsageError(f"{where} is {table!r}; expected a table")
    return table


def _check(where: str, table: Table, allowed: Set[str], wanted: Set[str] = frozenset()) -> None:
    if unknown := {*table} - allowed:
        raise UsageError(f"{where} has {min(unknown)!r}; choose of {', '.join(sorted(allowed))}")
    if missing := wanted - {*table}:
        raise UsageError(f"{where} lacks {min(missing)!r}")
