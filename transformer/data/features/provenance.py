"""Provenance of a feature file: encoder, drawings and reduction, as metadata of the file."""

import json
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError
from transformer.config.data import ExemplarConfig
from transformer.config.encoders import EncoderConfig, ReductionConfig
from transformer.config.plain import flatten, to_dict
from transformer.data.exemplars.arrays import HOW_TO_REPLACE, open_safetensors

KEY = "provenance"  # name of a file's metadata
IDENTITY = ("encoder", "drawings", "reduction")  # tables that decide on the numbers


def identity(
    encoder: EncoderConfig,
    drawings: ExemplarConfig,
    reduction: ReductionConfig,
    *,
    weights: str | None,
    fingerprint: str | None,
) -> dict[str, Any]:
    """Return what decides on the numbers of features, up to rounding: three tables.

    Parameters
    ----------
    weights : hash of the encoder's weights
    fingerprint : fingerprint of the drawings
    """
    return {
        "encoder": _with_kind(encoder) | {"weights": weights},
        "drawings": _with_kind(drawings) | {"fingerprint": fingerprint},
        "reduction": to_dict(reduction, for_id=True),
    }


def _with_kind(config: EncoderConfig | ExemplarConfig) -> dict[str, Any]:
    return {"kind": type(config).__name__} | to_dict(config, for_id=True)


def identity_of(provenance: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of `identity` that a provenance has."""
    return {name: provenance[name] for name in IDENTITY if name in provenance}


def made_by(provenance: dict[str, Any]) -> str:
    """Return the identity as a line of `name=value`.

    The line is part of run ids, so that its form must not change.
    """
    settings = flatten(identity_of(provenance))
    return "; ".join(f"{name}={value}" for name, value in settings.items())


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the provenance of a feature file; {} if it has none, as an .npy file."""
    if path.suffix != ".safetensors":
        return {}
    text = (open_safetensors(path, "np").metadata() or {}).get(KEY, "{}")
    try:
        table = json.loads(text)
    except ValueError:
        table = None
    if not isinstance(table, dict):
        raise UsageError(f"{path} has the {KEY} {text!r:.80}, expected a table; {HOW_TO_REPLACE}")
    return table
