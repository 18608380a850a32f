"""Configs as plain values and back, and what of them is a run's identity."""

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin

from coopetition.tools.errors import UsageError
from transformer.config.registry import Kind

MAX_SEED = 2**63  # what every generator takes
LARGEST = 1e38  # of any number in a config: what float32 holds


# what a field's metadata says of it
ADDED = {"added": True}  # came later: at its default no part of an identity, and may be missing
UNIDENTIFYING = ADDED | {"no identity": True}  # changes no number: lengths, what is kept on disk
LOCATION = UNIDENTIFYING | {"machine": True}  # a path


def require(condition: bool, message: str) -> None:
    """Raise `UsageError` with the message unless the condition holds."""
    if not condition:
        raise UsageError(message)


def require_at_least(settings: object, minimum: float, *names: str) -> None:
    """Raise `UsageError` for a field that is below the minimum or not finite."""
    for name in names:
        value = getattr(settings, name)
        require(
            minimum <= value <= LARGEST,
            f"{name}={_shown(value)} is out of range; choose a finite value of at least {minimum}",
        )


def _shown(value: float) -> str:
    """A number for a message, also one with more digits than Python writes."""
    try:
        return f"{value:.6g}" if isinstance(value, float) else f"{float(value):.12g}"
    except OverflowError:
        return "a huge number"


def require_choice(settings: object, options: Any, name: str) -> None:
    """Raise `UsageError` for a field that is none of a `Literal`'s options."""
    value = getattr(settings, name)
    require(
        value in get_args(options),
        f"{name}={value!r} is unknown; choose one of {', '.join(get_args(options))}",
    )


def to_dict(settings: Any, *, leave_out: str | None = None) -> dict[str, Any]:
    """Plain values; a dataclass of which there are kinds also carries its class name as `kind`.

    In a list, each is an object with that one name: `[{"Ablate": {"heads": ["0:1"]}}]`.

    Fields marked with `leave_out` are left out: "no identity" marks those that change no number of
    a run, "machine" those that say something of the machine.
    """
    result: dict[str, Any] = {}
    for item in fields(settings):
        if leave_out is not None and item.metadata.get(leave_out):
            continue
        value = getattr(settings, item.name)
        if leave_out == "no identity" and item.metadata.get("added") and value == _default(item):
            continue
        if item.type is float and isinstance(value, int):
            value = float(value)  # as it is read again: 1 and 1.0 are one identity
        elif is_dataclass(value):
            kind = {"kind": type(value).__name__} if isinstance(value, Kind) else {}
            value = kind | to_dict(value, leave_out=leave_out)
        elif isinstance(value, tuple) and value and isinstance(value[0], Kind):
            value = [named(each, leave_out=leave_out) for each in value]
        result[item.name] = value
    return result


def named(settings: Kind, *, leave_out: str | None = None) -> dict[str, Any]:
    """A dataclass of which there are kinds, as an object with its class name."""
    return {type(settings).__name__: to_dict(settings, leave_out=leave_out)}


def dotted(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat = {}
    for name, value in settings.items():
        inner = isinstance(value, dict)
        flat |= dotted(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return flat


def flat(settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted names, as JSON keeps them: tuples as lists."""
    return {name: _listed(value) for name, value in dotted(settings).items()}


def _listed(value: Any) -> Any:
    return [*map(_listed, value)] if isinstance(value, list | tuple) else value


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first value in which two nested tables differ, `name=found, not wanted`; "" for none."""
    theirs, ours = flat(found), flat(wanted)
    for name in {**ours, **theirs}:
        if theirs.get(name) != ours.get(name):
            return f"{name}={theirs.get(name)}, not {ours.get(name)}"
    return ""


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _is_required(item: Field[Any]) -> bool:
    no_default = item.default is MISSING and item.default_factory is MISSING
    return no_default or not item.metadata.get("added")


def from_dict(cls: Any, data: Any, where: str) -> Any:
    """Inverse of `to_dict`; an unknown or missing name, or a wrong type, raises `UsageError`."""
    require(isinstance(data, dict), f"{where} is {data!r}; expected a table of its fields")
    types: dict[str, Any] = {item.name: item.type for item in fields(cls)}
    missing = [f.name for f in fields(cls) if f.name not in data and _is_required(f)]
    require(
        not missing and set(data) <= set(types),
        f"{where} has the fields {sorted(data)}; this version expects {sorted(types)}",
    )
    return cls(**{name: _value(types[name], data[name], f"{where}.{name}") for name in data})


def _value(expected: Any, value: Any, where: str) -> Any:
    if isinstance(expected, type) and issubclass(expected, Kind):
        require(isinstance(value, dict), f"{where}={value!r}; expected a table")
        options = {each.__name__: each for each in expected.kinds.values()}
        kind = value.get("kind")
        require(isinstance(kind, str), f"{where}.kind={kind!r}; expected a name")
        if kind not in options:
            raise expected.kinds.lacks(str(kind))
        rest = {name: item for name, item in value.items() if name != "kind"}
        return from_dict(options[kind], rest, where)
    if get_origin(expected) is Literal:
        options = get_args(expected)
        require(
            isinstance(value, str) and value in options,
            f"{where}={value!r}; choose one of {', '.join(options)}",
        )
        return value
    if get_origin(expected) is tuple:
        return _tuple(expected, value, where)
    if is_dataclass(expected):
        return from_dict(expected, value, where)
    allowed = (int, float) if expected is float else expected
    is_flag = isinstance(value, bool) and expected is not bool  # True is an int to Python
    require(
        isinstance(value, allowed) and not is_flag,
        f"{where}={value!r}; expected {expected.__name__}",
    )
    return _float(value, where) if expected is float else value


def _float(value: float, where: str) -> float:
    """The same as a float, so that 1 and 1.0 are one identity."""
    try:
        return float(value)
    except OverflowError as error:
        raise UsageError(f"{where} is out of range; choose a smaller number") from error


def named_values(kind: type[Kind], value: Any, where: str) -> tuple[Any, ...]:
    """Inverse of `named`, of one object or of a list of such."""
    each = [value] if isinstance(value, dict) else value
    require(isinstance(each, list | tuple), f"{where}={value!r}; expected a list of objects")
    options = {option.__name__: option for option in kind.kinds.values()}
    found = []
    for item in each:
        require(
            isinstance(item, dict) and len(item) == 1,
            f"{where} has {item!r}; expected an object with one name, as {{NAME: {{...}}}}",
        )
        ((name, settings),) = item.items()
        if name not in options:
            raise kind.kinds.lacks(name)
        found.append(from_dict(options[name], settings, name))
    return tuple(found)


def _tuple(expected: Any, value: Any, where: str) -> tuple[Any, ...]:
    """A tuple of any length (`tuple[X, ...]`) or of a fixed one."""
    types = get_args(expected)
    if isinstance(types[0], type) and issubclass(types[0], Kind):
        return named_values(types[0], value, where)
    require(isinstance(value, list | tuple), f"{where}={value!r}; expected a list")
    if types[-1] is ...:
        types = types[:1] * len(value)
    require(len(value) == len(types), f"{where}={value!r}; expected {len(types)} entries")
    return tuple(
        _value(each, item, f"{where}[{k}]")
        for k, (each, item) in enumerate(zip(types, value, strict=True))
    )
