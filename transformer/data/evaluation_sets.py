"""Evaluation sets on disk: drawn once, kept, and shared by the runs of an ensemble."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from coopetition.tools.errors import UserError
from coopetition.tools.files import write_bytes
from transformer.config import RunConfig, to_dict
from transformer.data.evaluators import EVALUATORS, draw_evaluators, evaluator_data
from transformer.data.sequences import Sequences
from transformer.runs.folder import RunFolder

PARTS = ("exemplars", "labels", "target")  # of `Sequences`


def evaluation_sets(run: RunFolder) -> dict[str, Sequences]:
    """The evaluation sets of a run, drawn once and kept beside it or its ensemble."""
    return load_evaluators(run.shared / "evaluators", run.config)


def load_evaluators(folder: Path, config: RunConfig) -> dict[str, Sequences]:
    """The evaluation sets of a run, read from a folder that keeps them, drawn if it does not yet.

    Runs that have the same sets share a file: what is kept is what was used, also if a later
    version of numpy should draw otherwise.  A damaged file raises `UserError`.
    """
    path = folder / f"{_identity(config)}.safetensors"
    if not path.exists():
        drawn = draw_evaluators(config)
        write_bytes(
            path,
            save(
                {
                    f"{name}.{part}": getattr(sequences, part)
                    for name, sequences in drawn.items()
                    for part in PARTS
                }
            ),
        )
        return drawn
    try:
        tensors = load(path.read_bytes())
        sets = {
            name: Sequences(*(tensors[f"{name}.{part}"] for part in PARTS)) for name in EVALUATORS
        }
        _check(sets, config)
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is damaged ({error}); remove it to have the sets drawn again"
        ) from error
    return sets


def _identity(config: RunConfig) -> str:
    """Of the settings that evaluation sets depend on."""
    used = {
        "seed": config.eval_seed,
        "evaluation": to_dict(config.evaluation) | {"every": 0, "per_sequence": False},
        "stored": config.data.exemplars.n_exemplars,
        "data": [
            to_dict(data) | {"exemplars": None, "batch_size": 0}
            for data in evaluator_data(config.data).values()
        ],
    }
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()[:12]


def _check(sets: dict[str, Sequences], config: RunConfig) -> None:
    context, n = config.data.context, config.evaluation.n_sequences
    exemplars = config.data.exemplars
    for name, each in sets.items():
        for part, shape, limit in (
            ("exemplars", (context + 1, n), exemplars.n_classes * exemplars.n_exemplars),
            ("labels", (context, n), exemplars.n_classes),
            ("target", (n,), exemplars.n_classes),
        ):
            found = getattr(each, part)
            if found.shape != shape or found.dtype != torch.int64:
                raise ValueError(f"{name}.{part} is {found.dtype} {list(found.shape)}")
            if found.min() < 0 or found.max() >= limit:
                raise ValueError(f"{name}.{part} has numbers out of range")
