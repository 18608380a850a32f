"""The evaluators: their sequences, drawn once from a seed and kept on disk.

Each evaluator is defined by the training data that it would be.  Every run has the default ones:
`train`, `icl`, `ciwl`, `flip` and `iwl`.
"""

import hashlib
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_bytes
from transformer.config.data import DataConfig
from transformer.config.evaluators import EVALUATORS, evaluator
from transformer.config.plain import require, to_dict
from transformer.config.run import RunConfig
from transformer.data.sequences import Pool, Sequences, draw_sequences

PARTS = ("exemplars", "labels", "target")  # fields of `Sequences`


def plain_data(data: DataConfig, mode: str) -> DataConfig:
    """Return data of a mode in which two classes share the context, with default settings."""
    return DataConfig(
        exemplars=data.exemplars,
        context=data.context,
        burstiness=max(1, data.context // 2),
        mode=mode,
        held_out=data.held_out,
    )


def two_class_data(data: DataConfig, mode: str) -> DataConfig:
    """Return `plain_data` of a mode whose two classes fill the context."""
    require(
        data.context % 2 == 0,
        f"context={data.context} is odd, but two classes fill it equally; choose an even number",
    )
    return plain_data(data, mode)


def as_trained(data: DataConfig) -> DataConfig:
    """Return the training context, bursty and drawn uniformly, whatever the mode."""
    return replace(
        data,
        mode="bursty",
        mixture=(),
        repeats=True,
        zipf_exponent=0.0,
        zipf_rarest_first=False,
        noise=0.0,
    )


@evaluator("train", default=True, stream=0)
def train(data: DataConfig) -> DataConfig:
    """Bursty context with true labels, in every data mode: every strategy solves it."""
    return as_trained(data)


@evaluator("icl", default=True, in_summary=True, stream=1)
def icl(data: DataConfig) -> DataConfig:
    """Two classes, labelled 0 and 1 in random order.  ICL scores 1, CIWL and IWL are at chance."""
    return two_class_data(data, "zero_one")


@evaluator("ciwl", default=True, in_summary=True, stream=2)
def ciwl(data: DataConfig) -> DataConfig:
    """Other classes; one label is replaced by the query's.  CIWL scores 1, ICL is at chance."""
    return plain_data(data, "ciwl_only")


@evaluator("flip", default=True, in_summary=True, stream=3)
def flip(data: DataConfig) -> DataConfig:
    """Two classes with swapped labels.  ICL scores 1, CIWL and IWL score 0."""
    return two_class_data(data, "flip")


@evaluator("iwl", default=True, stream=4)
def iwl(data: DataConfig) -> DataConfig:
    """Classes other than the query's, with true labels: only IWL finds the query's label."""
    return plain_data(data, "no_support")


@evaluator("icl_held_out", held_out=True)
def icl_held_out(data: DataConfig) -> DataConfig:
    """`icl` on the classes that `data.held_out` keeps from training (Chan et al. 2022)."""
    require(
        data.held_out >= 2,
        f"held_out={data.held_out}: icl_held_out needs classes that are not trained on; "
        "choose data.held_out of at least 2",
    )
    return two_class_data(data, "zero_one")


@evaluator("train_burst_2")
def train_burst_2(data: DataConfig) -> DataConfig:
    """`train` with bursts of two (the published code's `b2_train_eval`)."""
    return replace(as_trained(data), burstiness=2)


@dataclass(frozen=True, slots=True)
class Evaluators:
    """The evaluators of a run."""

    data: dict[str, DataConfig]
    """Name -> the training data that it would be."""
    left_out: dict[str, str]
    """Default evaluators that cannot be drawn -> why."""


def evaluators_of(config: RunConfig) -> Evaluators:
    """Return the default evaluators that can be drawn, then those of `evaluation.also`."""
    data, left_out = {}, {}
    numbers = {
        name: (each.stream is None, each.stream or 0)  # the order of kept runs; others come last
        for name, each in EVALUATORS.items()
        if each.default
    }
    for name in sorted(numbers, key=lambda name: numbers[name]):
        try:
            data[name] = EVALUATORS[name].data(config.data)
        except UsageError as error:
            left_out[name] = str(error)
    data |= {name: EVALUATORS[name].data(config.data) for name in config.evaluation.also}
    return Evaluators(data, left_out)


def draw_evaluation_sets(config: RunConfig) -> dict[str, Sequences]:
    """Draw evaluation sequences by name; they depend on `eval_seed` and the data settings alone.

    Each evaluator has a random stream of its own, so that adding one leaves the others unchanged.
    """
    return {name: _draw(config, name, data) for name, data in evaluators_of(config).data.items()}


def _draw(config: RunConfig, name: str, data: DataConfig) -> Sequences:
    settings, entry = config.evaluation, EVALUATORS[name]
    stored = config.data.exemplars.n_exemplars
    n_classes, first = settings.n_classes, 0
    if entry.held_out:
        n_classes, first = config.data.held_out, config.data.n_trained
    pool = Pool(n_classes, settings.n_exemplars, stored, first=first)
    rng = np.random.default_rng(stream_key(config, name))
    return draw_sequences(rng, pool, data, settings.n_sequences)


def stream_key(config: RunConfig, name: str) -> list[int]:
    """Return the seed of an evaluator's random stream: `eval_seed` and its number or name.

    The name replaces the number where the two seeds are equal: (seed, number) also seeds a block of
    the training data.
    """
    number = EVALUATORS[name].stream
    if number is None or config.eval_seed == config.data_seed:
        return [config.eval_seed, *f"evaluator {name}".encode()]
    return [config.eval_seed, number]


def load_evaluation_sets(folder: Path, config: RunConfig) -> dict[str, Sequences]:
    """Return the evaluation sets of a run, kept in a folder; draw and write them the first time.

    Runs with the same sets share a file.  What is kept is used, even if a later version of numpy
    draws other numbers.  A damaged file raises `UserError`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    path = folder / f"{_identity(config)}.safetensors"
    if not path.exists():
        try:
            drawn = draw_evaluation_sets(config)
        except MemoryError as error:
            raise UserError(
                f"not enough memory for evaluation sets of {config.evaluation.n_sequences:,} "
                "sequences; choose a smaller evaluation.n_sequences"
            ) from error
        _print_notes(config, drawn)
        tensors = {
            f"{name}.{part}": getattr(sequences, part)
            for name, sequences in drawn.items()
            for part in PARTS
        }
        write_bytes(path, save(tensors))
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


def _print_notes(config: RunConfig, sets: dict[str, Sequences]) -> None:
    """Print which default evaluators are left out, and which have another chance accuracy."""
    for name, why in evaluators_of(config).left_out.items():
        print(f"note: the evaluator {name} is left out: {why}", file=sys.stderr)
    counts = {name: _median_label_count(each) for name, each in sets.items()}
    trained = counts["train"]
    if others := [f"{name} has {n}" for name, n in counts.items() if n != trained]:
        print(
            f"note: training has {trained} labels in context, but {', '.join(others)}; chance of "
            "the in-context accuracy is 1 / labels in context",
            file=sys.stderr,
        )


def _median_label_count(sequences: Sequences) -> int:
    """Return the median number of distinct labels in context."""
    ordered = sequences.labels.sort(0).values
    return int((1 + (ordered.diff(dim=0) != 0).sum(0)).median())


def _identity(config: RunConfig) -> str:
    """Return a hash of the settings that evaluation sets depend on; kept files are named by it."""
    evaluators, held_out = evaluators_of(config).data, config.data.held_out
    evaluation = to_dict(config.evaluation) | {"every": 0, "per_sequence": False}
    data = [to_dict(each) | {"exemplars": None, "batch_size": 0} for each in evaluators.values()]
    for each in data:
        del each["held_out"]  # newer than kept sets; below if it is used
    used = {"seed": config.eval_seed, "stored": config.data.exemplars.n_exemplars, "data": data}
    if evaluation.pop("also") or held_out or config.eval_seed == config.data_seed:
        used["streams"] = [stream_key(config, name) for name in evaluators]
        used["classes"] = [config.data.n_trained, held_out]
    used["evaluation"] = evaluation
    return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()[:12]


def _check(sets: dict[str, Sequences], config: RunConfig) -> None:
    """Raise `ValueError` for sequences that have another shape, type or range than drawn ones."""
    import torch

    context, n = config.data.context, config.evaluation.n_sequences
    n_classes = config.data.exemplars.n_classes
    expected = {  # part -> shape and number of possible values
        "exemplars": ((context + 1, n), n_classes * config.data.exemplars.n_exemplars),
        "labels": ((context, n), n_classes),
        "target": ((n,), n_classes),
    }
    for name, each in sets.items():
        for part, (shape, limit) in expected.items():
            values = getattr(each, part)
            if values.shape != shape or values.dtype != torch.int64:
                raise ValueError(f"{name}.{part} is {values.dtype} {list(values.shape)}")
            if values.min() < 0 or values.max() >= limit:
                raise ValueError(f"{name}.{part} has numbers out of range")
