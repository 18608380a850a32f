"""What a file of features was made by: a nested table of plain values in its metadata."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from coopetition.tools.errors import UsageError
from transformer.config.plain import dotted
from transformer.runs.machine import Machine

KEY = "provenance"  # in a .safetensors file's metadata
IDENTITY = ("encoder", "drawings", "reduction")  # what decides on the numbers, up to rounding


def made_on(machine: Machine) -> dict[str, Any]:
    """What made a file, beside what it was asked for."""
    return {
        "device": machine.device,
        "threads": machine.threads,
        "torch": torch.__version__,
        "coopetition": version("coopetition"),
    }


def flat(table: dict[str, Any]) -> dict[str, Any]:
    """A nested table with the names of its values in dots; tuples as JSON keeps them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dotted(table).items()
    }


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first value in which two nested tables differ, as `name=found, not wanted`."""
    theirs, ours = flat(found), flat(wanted)
    name = min(name for name in ours | theirs if ours.get(name) != theirs.get(name))
    return f"{name}={theirs.get(name)}, not {ours.get(name)}"


def made_by(provenance: dict[str, Any]) -> str:
    """One line of what decides on the numbers; empty for no provenance."""
    values = flat({name: provenance[name] for name in IDENTITY if name in provenance})
    return "; ".join(f"{name}={value}" for name, value in values.items())


def read_provenance(path: Path) -> dict[str, Any]:
    """The provenance that a feature file names; empty for one that names none, as an .npy file."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            text = (file.metadata() or {}).get(KEY, "{}")
        table = json.loads(text)
    except (SafetensorError, ValueError) as error:
        line = " ".join(str(error).split())
        raise UsageError(f"{path} is not a sound .safetensors file ({line})") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path} has the {KEY} {text!r}; expected a table")
    return table
