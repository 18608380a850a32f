"""Evaluation sets on disk: drawn once, kept, and shared by the runs of an ensemble."""

import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from coopetition.tools.errors import UserError
from coopetition.tools.files import write_bytes
from transformer.config.plain import to_dict
from transformer.config.run import RunConfig
from transformer.data.evaluation import draw_evaluators, evaluators_of, stream_key
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
        for name, why in evaluators_of(config).left_out.items():
            print(f"note: the evaluator {name} is left out: {why}", file=sys.stderr)
        drawn = draw_evaluators(config)
        if told := different_labels(drawn):
            print(f"note: {told}", file=sys.stderr)
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
            name: Sequences(*(tensors[f"{name}.{part}"] for part in PARTS))
            for name in evaluators_of(config).data
        }
        _check(sets, config)
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is damaged ({error}); remove it to have the sets drawn again"
        ) from error
    return sets


def different_labels(sets: dict[str, Sequences]) -> str:
    """Which evaluators have another number of labels in context than training; "" for none.

    Chance within the context is one in that number.
    """
    counts = {name: label_count(each) for name, each in sets.items()}
    trained = counts["train"]
    others = [f"{name} has {n}" for name, n in counts.items() if n != trained]
    if not others:
        return ""
    return (
        f"training has {trained} labels in context, but {', '.join(others)}: chance of its "
        f"in-context accuracy is 1/{trained} in training, and one in that number there"
    )


def label_count(sequences: Sequences) -> int:
    """Distinct labels in the context of a sequence, in the median."""
    ordered = sequences.labels.sort(0).values
    return int((1 + (ordered.diff(dim=0) != 0).sum(0)).median())


def _identity(config: RunConfig) -> str:
    """Of the settings that evaluation sets depend on."""
    evaluators, held_out = evaluators_of(config).data, config.data.held_out
    evaluation = to_dict(config.evaluation) | {"every": 0, "per_sequence": False}
    data = [to_dict(each) | {"exemplars": None, "batch_size": 0} for each in evaluators.values()]
    for each in data:
        del each["held_out"]  # below, where it says something: kept sets were named without
    used = {"seed": config.eval_seed, "stored": config.data.exemplars.n_exemplars, "data": data}
    if evaluation.pop("also") or held_out or config.eval_seed == config.data_seed:
        used["streams"] = [stream_key(config, name) for name in evaluators]
        used["classes"] = [config.data.n_trained, held_out]
    used["evaluation"] = evaluation
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
