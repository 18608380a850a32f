"""What a file of features was made by: a nested table of plain values in its metadata."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from coopetition.tools.errors import UsageError
from transformer.config.encoders import EncoderConfig
from transformer.config.exemplars import ExemplarConfig
from transformer.config.plain import flat, to_dict
from transformer.data.arrays import MADE_AGAIN, open_safetensors
from transformer.data.reduction import ReductionConfig
from transformer.runs.machine import Machine

KEY = "provenance"  # in a .safetensors file's metadata


def identity(
    encoder: EncoderConfig,
    drawings: ExemplarConfig,
    reduction: ReductionConfig,
    *,
    weights: str | None,
    fingerprint: str | None,
) -> dict[str, Any]:
    """What decides on the numbers of features, up to rounding: three tables.

    `weights` and `fingerprint` are of the encoder's weights and of the drawings.
    """
    return {
        "encoder": _plain(encoder) | {"weights": weights},
        "drawings": _plain(drawings) | {"fingerprint": fingerprint},
        "reduction": to_dict(reduction, leave_out="no identity"),
    }


def _plain(config: EncoderConfig | ExemplarConfig) -> dict[str, Any]:
    return {"kind": type(config).__name__} | to_dict(config, leave_out="no identity")


def identity_in(provenance: dict[str, Any]) -> dict[str, Any]:
    """Those of a provenance; what it does not name is left out."""
    names = ("encoder", "drawings", "reduction")
    return {name: provenance[name] for name in names if name in provenance}


def made_on(machine: Machine) -> dict[str, Any]:
    """What made a file, beside what it was asked for: it changes numbers by rounding alone."""
    return {
        "device": machine.device,
        "threads": machine.threads,
        "torch": torch.__version__,
        "coopetition": version("coopetition"),
    }


def entries(provenance: dict[str, Any]) -> list[str]:
    """What decides on the numbers, as `name=value`; none for no provenance."""
    return [f"{name}={value}" for name, value in flat(identity_in(provenance)).items()]


def made_by(provenance: dict[str, Any]) -> str:
    """The entries as a line, which is part of a run's id: its form must not change."""
    return "; ".join(entries(provenance))


def read_provenance(path: Path) -> dict[str, Any]:
    """The provenance that a feature file names; empty for one that names none, as an .npy file."""
    if path.suffix != ".safetensors":
        return {}
    text = (open_safetensors(path).metadata() or {}).get(KEY, "{}")
    try:
        table = json.loads(text)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise UsageError(f"{path} has the {KEY} {text!r:.80}, which is no table; {MADE_AGAIN}")
    return table
