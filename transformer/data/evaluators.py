"""Sequences that in-context learning alone solves, and what several evaluators share.

Sequences that context-constrained in-weights learning solves, and ICL does not.

Sequences on which in-context and in-weights strategies answer differently.

In-context learning of classes that were not trained on (Chan et al. 2022).

Sequences that in-weights learning alone solves.

Sequences as in training, of the bursty kind.

Sequences as in training with bursts of two (the published code's `b2_train_eval`).

The evaluators of a run: which it has, and their sequences.

Evaluation sets on disk: drawn once, kept, and shared by the runs of an ensemble.
"""

import hashlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_bytes
from transformer.config.data import DataConfig
from transformer.config.evaluators import EVALUATORS, evaluator
from transformer.config.plain import require, to_dict
from transformer.config.run import RunConfig
from transformer.data.sequences import Pool, Sequences, draw_sequences
from transformer.runs.folder import RunFolder


def plain(data: DataConfig, mode: str) -> DataConfig:
    """Sequences of a mode in which two classes share the context, and nothing else is special."""
    return DataConfig(
        exemplars=data.exemplars,
        context=data.context,
        burstiness=max(1, data.context // 2),
        mode=mode,
        held_out=data.held_out,
    )


def two_classes(data: DataConfig, mode: str) -> DataConfig:
    """`plain`, for modes whose two classes fill the context."""
    require(
        data.context % 2 == 0,
        f"context={data.context} is odd, but two classes fill it equally; choose an even number",
    )
    return plain(data, mode)


@evaluator("icl", standing=True, brief=True, stream=1)
def icl(data: DataConfig) -> DataConfig:
    """Two classes, labelled 0 and 1 in random order: 1 for ICL, chance for in-weights answers."""
    return two_classes(data, "zero_one")


@evaluator("ciwl", standing=True, brief=True, stream=2)
def ciwl(data: DataConfig) -> DataConfig:
    """Distinct other classes, one label overwritten by the query's: 1 for CIWL, chance for ICL."""
    return plain(data, "ciwl_only")


@evaluator("flip", standing=True, brief=True, stream=3)
def flip(data: DataConfig) -> DataConfig:
    """Two classes with their labels swapped: 1 for ICL, 0 for either in-weights strategy."""
    return two_classes(data, "flip")


@evaluator("icl_held_out", held_out=True)
def icl_held_out(data: DataConfig) -> DataConfig:
    """As `icl`, of the classes that `data.held_out` keeps from training."""
    require(
        data.held_out >= 2,
        f"held_out={data.held_out}: icl_held_out needs classes that are not trained on; "
        "choose data.held_out of at least 2",
    )
    return two_classes(data, "zero_one")


@evaluator("iwl", standing=True, stream=4)
def iwl(data: DataConfig) -> DataConfig:
    """Distinct other classes, true labels, the query's absent: IWL over all labels."""
    return plain(data, "no_support")


def as_trained(data: DataConfig) -> DataConfig:
    """The training context, bursty and drawn uniformly, whatever the mode."""
    return replace(
        data,
        mode="bursty",
        mixture=(),
        repeats=True,
        zipf_exponent=0.0,
        zipf_rarest_first=False,
        noise=0.0,
    )


@evaluator("train", standing=True, stream=0)
def train(data: DataConfig) -> DataConfig:
    """The training context, bursty in every mode; true labels; every strategy solves it."""
    return as_trained(data)


@evaluator("train_burst_2")
def train_burst_2(data: DataConfig) -> DataConfig:
    """As `train`, with the query's class and the distractor twice each in context."""
    return replace(as_trained(data), burstiness=2)


@dataclass(frozen=True, slots=True)
class Evaluators:
    """What a run is evaluated on."""

    data: dict[str, DataConfig]
    """By name, each as the training data that it would be."""
    left_out: dict[str, str]
    """Those that every run has, if it can: why this one cannot."""


def evaluators_of(config: RunConfig) -> Evaluators:
    """The standing evaluators that can be drawn, then those of `evaluation.also`."""
    data, left_out = {}, {}
    standing = {name: each for name, each in EVALUATORS.items() if each.standing}
    # in the order of their numbers, which kept runs have; those without come last
    for name, each in sorted(
        standing.items(), key=lambda item: (item[1].stream is None, item[1].stream or 0)
    ):
        try:
            data[name] = each.data(config.data)
        except UsageError as error:
            left_out[name] = str(error)
    data |= {name: EVALUATORS[name].data(config.data) for name in config.evaluation.also}
    return Evaluators(data, left_out)


def draw_evaluators(config: RunConfig) -> dict[str, Sequences]:
    """Evaluation sequences by name, a function of `eval_seed` and the data settings alone.

    Each evaluator has a stream of its own, so that adding one leaves the others as they were.
    """
    return {name: _draw(config, name, data) for name, data in evaluators_of(config).data.items()}


def _draw(config: RunConfig, name: str, data: DataConfig) -> Sequences:
    settings, entry = config.evaluation, EVALUATORS[name]
    stored = config.data.exemplars.n_exemplars
    n_classes = config.data.held_out if entry.held_out else settings.n_classes
    drawn = draw_sequences(
        np.random.default_rng(stream_key(config, name)),
        Pool(n_classes, settings.n_exemplars, stored),
        data,
        settings.n_sequences,
    )
    if entry.held_out:
        drawn = replace(drawn, exemplars=drawn.exemplars + config.data.n_trained * stored)
    return drawn


def stream_key(config: RunConfig, name: str) -> list[int]:
    """What seeds an evaluator's stream: the seed and the evaluator's number, or its name.

    The number alone would be a block of the training data where the two seeds are equal.
    """
    number = EVALUATORS[name].stream
    if number is None or config.eval_seed == config.data_seed:
        return [config.eval_seed, *f"evaluator {name}".encode()]
    return [config.eval_seed, number]


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
