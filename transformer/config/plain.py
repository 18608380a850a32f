"""Configs as plain values and back, and which of their fields a run's id depends on."""

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin

from coopetition.tools.errors import UsageError
from transformer.config.registry import RegisteredConfig

MAX_SEED = 2**63  # every random generator takes smaller seeds
LARGEST = 1e38  # largest number in a config: float32 holds it

# metadata of fields
OMIT_DEFAULT_FROM_ID = {"omit default": True}  # newer than some kept runs; may be missing in a file
NOT_IN_RUN_ID = {"not in run id": True}  # does not change the numbers of a run
MACHINE_PATH = OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID | {"machine path": True}


def require(condition: bool, message: str) -> None:
    """Raise `UsageError` with the message unless the condition holds."""
    if not condition:
        raise UsageError(message)


def require_at_least(settings: object, minimum: float, *names: str, most: float = LARGEST) -> None:
    """Raise `UsageError` for a field that is below the minimum, above `most`, or not finite."""
    for name in names:
        value = getattr(settings, name)
        limit = "" if most == LARGEST else f" and at most {most}"
        require(
            minimum <= value <= most,
            f"{name}={value!r:.40} is out of range; choose a finite value of at least "
            f"{minimum}{limit}",
        )


def require_choice(settings: object, options: Any, *names: str) -> None:
    """Raise `UsageError` for a field that is not one of a `Literal`'s options."""
    for name in names:
        value = getattr(settings, name)
        require(
            value in get_args(options),
            f"{name}={value!r} is unknown; choose one of {', '.join(get_args(options))}",
        )


def to_dict(settings: Any, *, for_id: bool = False, machine_paths: bool = True) -> dict[str, Any]:
    """Return a config as plain values.

    A registered config also carries its class name as `kind`; in a tuple, each is an object with
    its class name as the only key: `[{"Ablate": {"heads": ["0:1"]}}]`.

    Parameters
    ----------
    for_id : whether to leave out what a run's id does not depend on
    machine_paths : whether to include paths on this machine
    """
    keywords = {"for_id": for_id, "machine_paths": machine_paths}
    result: dict[str, Any] = {}
    for item in fields(settings):
        value, marks = getattr(settings, item.name), item.metadata
        if not machine_paths and "machine path" in marks:
            continue
        if for_id and ("not in run id" in marks or _is_omitted_default(item, value)):
            continue
        if item.type is float:
            value = float(value)  # 1 and 1.0 give one id
        elif is_dataclass(value):
            kind = {"kind": type(value).__name__} if isinstance(value, RegisteredConfig) else {}
            value = kind | to_dict(value, **keywords)
        elif isinstance(value, tuple) and value and isinstance(value[0], RegisteredConfig):
            value = [to_named_dict(each, **keywords) for each in value]
        result[item.name] = value
    return result


def _is_omitted_default(item: Field[Any], value: Any) -> bool:
    return _may_be_missing(item) and value == (
        item.default if item.default_factory is MISSING else item.default_factory()
    )


def to_named_dict(settings: RegisteredConfig, **keywords: bool) -> dict[str, Any]:
    """Return a registered config as an object with its class name as the only key."""
    return {type(settings).__name__: to_dict(settings, **keywords)}


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names."""
    flat = {}
    for name, value in settings.items():
        inner = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return flat


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return the first value in which two tables differ, `name=found, not wanted`, or ""."""
    theirs, ours = (flatten(json.loads(json.dumps(table))) for table in (found, wanted))
    for name in {**ours, **theirs}:
        if theirs.get(name) != ours.get(name):
            return f"{name}={theirs.get(name)}, not {ours.get(name)}"
    return ""


def from_dict(cls: Any, table: Any, where: str) -> Any:
    """Return the config that `to_dict` wrote; an unfit name or value raises `UsageError`.

    Only fields that are marked `OMIT_DEFAULT_FROM_ID` may be missing.

    Parameters
    ----------
    where : name of the table, for messages
    """
    require(isinstance(table, dict), f"{where}={table!r:.80}; expected a table of its fields")
    expected: dict[str, Any] = {item.name: item.type for item in fields(cls)}
    needed = {item.name for item in fields(cls) if not _may_be_missing(item)}
    wrong = [f"unknown {name!r:.40}" for name in sorted({*table} - {*expected})]
    wrong += [f"missing {name!r}" for name in sorted(needed - {*table})]
    fields_text = ", ".join(sorted(expected)) or "none"
    require(not wrong, f"{where} has wrong fields ({', '.join(wrong)}); expected: {fields_text}")
    return cls(**{name: _read(expected[name], table[name], f"{where}.{name}") for name in table})


def _may_be_missing(item: Field[Any]) -> bool:
    has_default = item.default is not MISSING or item.default_factory is not MISSING
    return has_default and "omit default" in item.metadata


def _read(expected: Any, value: Any, where: str) -> Any:
    """Return a plain value as a field of the expected type."""
    if get_origin(expected) is tuple:
        return _read_tuple(get_args(expected), value, where)
    if isinstance(expected, type) and issubclass(expected, RegisteredConfig):
        is_table = isinstance(value, dict) and isinstance(value.get("kind"), str)
        require(is_table, f"{where}={value!r:.80}; expected a table with a kind")
        others = {name: item for name, item in value.items() if name != "kind"}
        return from_dict(expected.registry.by_class_name(value["kind"]), others, where)
    if is_dataclass(expected):
        return from_dict(expected, value, where)
    if get_origin(expected) is Literal:
        options = get_args(expected)
        is_option = isinstance(value, str) and value in options
        require(is_option, f"{where}={value!r:.80}; choose one of {', '.join(options)}")
        return value
    types = (int, float) if expected is float else expected
    is_bool = isinstance(value, bool) and expected is not bool  # True is an int to Python
    require(
        isinstance(value, types) and not is_bool,
        f"{where}={value!r:.80}; expected {expected.__name__}",
    )
    if expected is not float:
        return value
    require(
        isinstance(value, float) or abs(value) <= LARGEST,
        f"{where} is out of range; choose a smaller number",
    )
    return float(value)


def _read_tuple(types: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    """Return a list as a tuple of any length (`X, ...`) or of one type per entry."""
    if isinstance(types[0], type) and issubclass(types[0], RegisteredConfig):
        return from_named_dicts(types[0], value, where)
    require(isinstance(value, list | tuple), f"{where}={value!r:.80}; expected a list")
    if types[-1] is ...:
        types = types[:1] * len(value)
    require(len(value) == len(types), f"{where}={value!r:.80}; expected {len(types)} entries")
    return tuple(
        _read(each, item, f"{where}[{k}]")
        for k, (each, item) in enumerate(zip(types, value, strict=True))
    )


def from_named_dicts(base: type[RegisteredConfig], value: Any, where: str) -> tuple[Any, ...]:
    """Return the configs that one object of `to_named_dict`, or a list of them, describes."""
    items = [value] if isinstance(value, dict) else value
    require(isinstance(items, list | tuple), f"{where}={value!r:.80}; expected a list of objects")
    configs = []
    for item in items:
        require(
            isinstance(item, dict) and len(item) == 1,
            f"{where} has {item!r:.80}; expected an object with one name, as {{NAME: {{...}}}}",
        )
        ((name, settings),) = item.items()
        configs.append(from_dict(base.registry.by_class_name(name), settings, name))
    return tuple(configs)
