"""Plans as TOML files: tables of features, runs, measures and readings by name.

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

    [readings.heads]
    measures = ["induction_strength"]                # of models, at every checkpoint of a run
    of = "second"
    steps = "all"
    evaluators = ["flip"]
    interventions = [{ Ablate = { heads = ["0:*"] } }]

Features stand first in the plan, then runs, then measures, then readings.  A run with `exemplars =
"drawings"` is trained on that node's features: all of them, unless its preset is of features and
says how many.  Paths are relative to where the command is called; those of grafts, in readings, to
the folder of all runs.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig, to_dict
from transformer.config.data import EXEMPLAR_KINDS
from transformer.config.encoders import ENCODERS, EncoderConfig, ReductionConfig
from transformer.config.interventions import Intervention
from transformer.config.plain import flatten, from_dict, from_named_dicts
from transformer.config.registry import Registry
from transformer.config.variants import vary
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.presets import PRESETS, Scale
from transformer.sweeps.features import Features
from transformer.sweeps.measure import Measure, Readings, Steps
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

Table = dict[str, Any]
Made = TypeVar("Made")

KINDS_OF_NODES = {"features": dict, "run": dict, "measure": dict, "readings": dict}
FEATURES = {"drawings": dict, "encoder": dict, "reduction": dict, "what": str}
RUN = {"preset": str, "change": dict, "vary": dict} | dict.fromkeys(
    ("after", "longer_than", "exemplars", "what"), str
)
MEASURE = {"measure": str, "of": list, "what": str}
READINGS = {"of": str, "steps": str, "what": str} | dict.fromkeys(
    ("measures", "evaluators", "interventions"), list
)
WORDS = {dict: "a table", list: "a list", str: "a text"}


def read_plan(path: Path, scale: Scale) -> Plan:
    """The plan of a TOML file.

    What it does not understand, and an encoder whose weights are not there, raise `UsageError`.
    """
    try:
        tables = tomllib.loads(
            path.read_text(encoding="utf-8-sig")
        )  # with a byte-order mark or without
    except OSError as error:
        raise UsageError(f"plan {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"plan {path} is no TOML ({error})") from error
    try:
        return _plan(tables, scale)
    except UsageError as error:
        raise UsageError(f"plan {path}: {error}") from error


def _plan(tables: Table, scale: Scale) -> Plan:
    _check(tables, KINDS_OF_NODES)
    features = _each(tables, "features", _features)
    runs = _each(tables, "run", lambda name, table: _run(name, table, scale, features))
    measures = _each(tables, "measure", _measure)
    readings = _each(tables, "readings", _readings)
    nodes = (features, runs, measures, readings)
    return Plan(node for each in nodes for node in each.values())


def _each(tables: Table, kind: str, read: Callable[[str, Table], Made]) -> dict[str, Made]:
    """The nodes of one kind, by name; what is wrong with one is told with its name."""
    found: dict[str, Made] = {}
    for name, table in tables.get(kind, {}).items():
        try:
            _check({name: table}, {name: dict})
            found[name] = read(name, table)
        except UsageError as error:
            raise UsageError(f"{kind}.{name}: {error}") from error
    return found


def _features(name: str, table: Table) -> Features:
    _check(table, FEATURES, "drawings", "encoder")
    encoder = _kind("encoder", table["encoder"], ENCODERS)
    _check_weights(encoder)
    reduction = to_dict(ReductionConfig()) | table.get("reduction", {})
    return Features(
        name=name,
        what=table.get("what", ""),
        drawings=_kind("drawings", table["drawings"], EXEMPLAR_KINDS),
        encoder=encoder,
        reduction=from_dict(ReductionConfig, reduction, "reduction"),
    )


def _check_weights(encoder: EncoderConfig) -> None:
    """Now, and not when all that is done before has taken hours."""
    weights = getattr(encoder, "weights", None)
    if weights is not None and not Path(weights).is_file():
        raise UsageError(
            f"encoder.weights={weights!r} is no file; give that of the encoder's weights"
        )


def _run(name: str, table: Table, scale: Scale, features: Mapping[str, Features]) -> Train:
    _check(table, RUN, "preset")
    config = PRESETS[table["preset"]].config(scale)
    source = table.get("exemplars", "")
    if source in features:
        config = _trained_on(features[source], config)
    if change := flatten(table.get("change", {})):
        texts = {field: [_text(value)] for field, value in change.items()}
        (config,) = vary(config, texts).values()
    if axes := flatten(table.get("vary", {})):
        _check(axes, dict.fromkeys(axes, list))
        if empty := [field for field, values in axes.items() if not values]:
            raise UsageError(f"vary gives {empty[0]} no values; give some")
        texts = {field: [*map(_text, values)] for field, values in axes.items()}
        config = vary(config, texts)
    rest = {each: table[each] for each in table if each not in ("preset", "change", "vary")}
    return Train(name=name, config=config, **rest)


def _trained_on(features: Features, config: RunConfig) -> RunConfig:
    """A run's config with a node's features for its exemplars, unless it is of features."""
    if isinstance(config.data.exemplars, FeatureConfig):
        return config
    there = features.drawings
    sizes = {"n_classes": there.n_classes, "n_exemplars": there.n_exemplars}
    return config.with_kind(FeatureConfig).with_exemplars(**sizes)


def _measure(name: str, table: Table) -> Measure:
    _check(table, MEASURE, "measure", "of")
    of = tuple(map(str, table["of"]))
    return Measure(name=name, measure=table["measure"], of=of, what=table.get("what", ""))


def _readings(name: str, table: Table) -> Readings:
    _check(table, READINGS, "measures", "of")
    steps = table.get("steps", "last")
    if steps not in get_args(Steps):
        raise UsageError(f"steps={steps!r}; choose one of {', '.join(get_args(Steps))}")
    return Readings(
        name=name,
        what=table.get("what", ""),
        measures=tuple(map(str, table["measures"])),
        of=table["of"],
        steps=steps,
        evaluators=tuple(map(str, table.get("evaluators", ()))),
        interventions=from_named_dicts(
            Intervention, table.get("interventions", []), "interventions"
        ),
    )


def _kind(where: str, table: Table, registry: Registry[Any]) -> Any:
    """What a table with a name of the registry as its `kind` stands for."""
    given = {name: value for name, value in table.items() if name != "kind"}
    if not isinstance(table.get("kind"), str):
        raise UsageError(f"{where} says no kind; choose one of {', '.join(registry)}")
    kind = registry[table["kind"]]
    return from_dict(kind, to_dict(kind()) | given, where)


def _text(value: Any) -> str:
    """As `vary` reads it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _check(table: Table, kinds: Mapping[str, type], *wanted: str) -> None:
    """Raise `UsageError` unless a table has what is wanted, and nothing but what is of its kind."""
    for name, value in table.items():
        if name not in kinds:
            raise UsageError(f"{name!r} is unknown here; choose of {', '.join(sorted(kinds))}")
        if not isinstance(value, kinds[name]):
            raise UsageError(f"{name} is {value!r}; expected {WORDS[kinds[name]]}")
    if missing := {*wanted} - {*table}:
        raise UsageError(f"{min(missing)} is missing; give it")
