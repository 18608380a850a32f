"""Plans as TOML files; docs/trainer.md#sweeps has an example of every kind of node.

A table describes a node: [features.NAME], [run.NAME], [run_table.NAME] or [model_table.NAME].
"""

import json
import tomllib
from collections.abc import Callable, Collection
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig, to_dict
from transformer.config.data import EXEMPLAR_KINDS
from transformer.config.encoders import ENCODERS, ReductionConfig
from transformer.config.plain import flatten, from_dict
from transformer.config.registry import Registry
from transformer.config.run import Scale
from transformer.config.variants import vary, with_texts
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.presets import PRESETS
from transformer.sweeps.features import Features
from transformer.sweeps.measure import ModelTable, RunTable
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.train import Train

Table = dict[str, Any]
T = TypeVar("T")
KINDS = ("features", "run", "run_table", "model_table")


@dataclass(frozen=True, kw_only=True)
class FeaturesEntry:
    """The table of a node that makes features."""

    drawings: dict
    encoder: dict
    reduction: dict = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class RunEntry:
    """The table of a node that trains runs."""

    preset: str
    change: dict = field(default_factory=dict)
    vary: dict = field(default_factory=dict)
    after: str = ""
    extends: str = ""
    exemplars: str = ""
    description: str = ""


def read_plan(path: Path, scale: Scale) -> Plan:
    """Return the plan in a TOML file; mistakes and missing weights raise `UsageError`."""
    try:
        # with a byte-order mark or without
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"plan {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"plan {path} is not valid TOML ({error})") from error
    try:
        return _plan(tables, scale)
    except UsageError as error:
        raise UsageError(f"plan {path}: {error}") from error


def _plan(tables: Table, scale: Scale) -> Plan:
    _check_names(tables, KINDS)
    nodes: dict[str, Node] = {}
    readers: dict[str, Callable[[str, Any], Node]] = {
        "features": _features,
        "run": lambda name, table: _train(name, table, scale, nodes),
        "run_table": lambda name, table: _read(RunTable, table, name),
        "model_table": lambda name, table: _read(ModelTable, table, name),
    }
    for kind, read in readers.items():
        named = tables.get(kind, {})
        if not isinstance(named, dict):
            raise UsageError(f"{kind} is {named!r}; expected tables by name, as [{kind}.NAME]")
        for name, table in named.items():
            try:
                nodes[f"{kind}.{name}"] = read(name, table)
            except UsageError as error:
                raise UsageError(f"{kind}.{name}: {error}") from error
    return Plan(nodes.values())


def _check_names(table: Table, known: Collection[str]) -> None:
    for name in table:
        if name not in known:
            raise UsageError(f"{name!r} is unknown; choose one of {', '.join(known)}")


def _read(cls: type[T], table: Any, name: str = "") -> T:
    """Return a table as a dataclass, with the defaults of the fields that are missing."""
    if not isinstance(table, dict):
        raise UsageError(f"{table!r} is not a table; expected one of {cls.__name__}")
    known = {item.name: item for item in fields(cls)}  # pyright: ignore[reportArgumentType]
    _check_names(table, known)
    defaults: Table = {"name": name} if name else {}
    for item in known.values():
        if item.default is not MISSING:
            defaults[item.name] = item.default
        elif item.default_factory is not MISSING:
            defaults[item.name] = item.default_factory()
    if missing := known.keys() - defaults.keys() - table.keys():
        raise UsageError(f"{min(missing)} is missing; give it")
    return from_dict(cls, defaults | table, "table")


def _features(name: str, table: Any) -> Features:
    given = _read(FeaturesEntry, table)
    encoder = _registered("encoder", given.encoder, ENCODERS)
    weights = getattr(encoder, "weights", None)
    if weights is not None and not Path(weights).is_file():  # now, and not after hours
        raise UsageError(f"encoder.weights={weights!r} does not exist; give a file with weights")
    reduction = to_dict(ReductionConfig()) | given.reduction
    return Features(
        name=name,
        description=given.description,
        drawings=_registered("drawings", given.drawings, EXEMPLAR_KINDS),
        encoder=encoder,
        reduction=from_dict(ReductionConfig, reduction, "reduction"),
    )


def _registered(where: str, table: Table, registry: Registry[Any]) -> Any:
    """Return a table as the config that its `kind` names in a registry."""
    given = {name: value for name, value in table.items() if name != "kind"}
    if not isinstance(table.get("kind"), str):
        raise UsageError(f"{where} has no kind; choose one of {', '.join(registry)}")
    cls = registry[table["kind"]]
    return from_dict(cls, to_dict(cls()) | given, where)


def _train(name: str, table: Any, scale: Scale, nodes: dict[str, Node]) -> Train:
    given = _read(RunEntry, table)
    config = PRESETS[given.preset].config(scale)
    source = nodes.get(f"features.{given.exemplars}")
    if isinstance(source, Features):
        config = _trained_on(source, config)
    if given.change:
        texts = {name: _text(value) for name, value in flatten(given.change).items()}
        config = with_texts(config, texts)
    configs: RunConfig | dict[str, RunConfig] = config
    if given.vary:
        configs = vary(config, {name: _texts(name, v) for name, v in flatten(given.vary).items()})
    return Train(
        name=name,
        description=given.description,
        config=configs,
        after=given.after,
        extends=given.extends,
        exemplars=given.exemplars,
    )


def _trained_on(features: Features, config: RunConfig) -> RunConfig:
    """Return a run's config on a node's features, unless it is on features already."""
    if isinstance(config.data.exemplars, FeatureConfig):
        return config
    drawings = features.drawings
    sizes = {"n_classes": drawings.n_classes, "n_exemplars": drawings.n_exemplars}
    return config.with_kind(FeatureConfig).with_exemplars(**sizes)


def _texts(name: str, values: Any) -> list[str]:
    if not isinstance(values, list) or not values:
        raise UsageError(f"vary: {name} is {values!r}; expected a list of values")
    return [*map(_text, values)]


def _text(value: Any) -> str:
    """Return a value as `vary` reads it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
