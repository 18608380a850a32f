"""The evaluators of a run: which it has, and their sequences."""

from dataclasses import dataclass, replace

import numpy as np

from coopetition.tools.errors import UsageError
from transformer.config.data import DataConfig
from transformer.config.evaluators import EVALUATORS
from transformer.config.run import RunConfig
from transformer.data.sequences import Pool, Sequences, draw_sequences


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
