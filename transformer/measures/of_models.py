"""A model on the sequences of an evaluator: what measures look at.

How often the evaluators' targets come out.

Where attention goes: of the query, and of the labels.

What the last layer reads of the layers before it.

What one head of the last layer can say by itself.

What is left when attention, or everything but attention, is silent.

What sharper and flatter attention does to heads: alone, one among all, and all at once.
"""

import inspect
import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transformer.config.interventions import Intervention
from transformer.config.registry import Registry
from transformer.data.exemplar_sets import Exemplars
from transformer.data.sequences import Sequences
from transformer.interventions.attention import (
    Ablate,
    ClampPattern,
    Preserve,
    SilenceNonLabels,
    Temperature,
    What,
)
from transformer.interventions.inputs import AblateEmbedding
from transformer.measures.metrics import evaluate, means, parts_of
from transformer.model.loaded import Model
from transformer.model.transformer import final_residual


@dataclass(frozen=True, slots=True)
class Reading:
    """A number that a measure gives of a model."""

    what: str
    value: float
    layer: int | None = None
    head: int | None = None
    at: float | None = None
    """The strength, temperature, token or sequence that it is of, where there are several."""


class View:
    """A model on the sequences of an evaluator.

    Parameters
    ----------
    model : float32, on the CPU
    evaluator : its name
    exemplars, sequences : what it reads
    """

    def __init__(
        self, model: Model, evaluator: str, exemplars: Exemplars, sequences: Sequences
    ) -> None:
        self.model, self.evaluator = model, evaluator
        self.exemplars, self.sequences = exemplars, sequences
        self._patterns: dict[tuple[Intervention, ...], list[Tensor]] = {}

    @cached_property
    def right(self) -> Tensor:
        """Which labels in context (C, n) are the target."""
        return self.sequences.labels == self.sequences.target

    @cached_property
    def both(self) -> Tensor:
        """Which sequences (n,) have labels that are the target, and others."""
        return self.right.any(0) & ~self.right.all(0)

    @property
    def patterns(self) -> list[Tensor]:
        """Attention of each layer (H, Q, T, n); of the last layer the query's row alone.

        Computed once for what the model is computed under.
        """
        under = self.model.interventions
        if under not in self._patterns:
            self._patterns[under] = self._attended()
        return self._patterns[under]

    @torch.no_grad()
    def _attended(self) -> list[Tensor]:
        wanted = [f"blocks.{layer}.pattern" for layer in range(self.model.config.n_layers)]
        chunks: dict[str, list[Tensor]] = {name: [] for name in wanted}

        def keep(name: str, value: Tensor) -> Tensor:
            if name in chunks:
                chunks[name].append(value[0])
            return value

        own, intervened = self.model.with_run_axis(), self.model.acting()
        config = self.model.config
        for part in parts_of(own, config, self.exemplars, self.sequences):
            tap = intervened.tap(own, *part, then=keep) if intervened else keep
            final_residual(own, config, part.items, part.labels, tap)
        return [torch.cat(chunks[name], -1) for name in wanted]

    def metrics(self, *interventions: Intervention) -> dict[str, float | None]:
        """Means of all metrics under interventions (`transformer.measures.metrics`)."""
        model = self.model
        with model.intervened(*interventions) if interventions else nullcontext():
            return means(
                evaluate(
                    model.with_run_axis(),
                    model.config,
                    self.exemplars,
                    self.sequences,
                    model.acting(),
                )
            )

    def metric(self, name: str, *interventions: Intervention) -> float:
        """The mean of one; NaN where it is not defined, or not a number."""
        value = self.metrics(*interventions)[name]
        return math.nan if value is None else value


ModelMeasure = Callable[[View], Iterable[Reading]]
MODEL_MEASURES: Registry[ModelMeasure] = Registry(
    "measure of a model", "transformer.measures.of_models"
)


def settings_of(measure: ModelMeasure) -> dict[str, Any]:
    """Return the keyword-only settings of a measure with the values that it uses."""
    parameters = inspect.signature(measure).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}


def all_settings(measures: Iterable[str]) -> dict[str, Any]:
    """Return `{"settings": ...}` by measure for a record; empty if no measure has settings."""
    found = {name: settings_of(MODEL_MEASURES[name]) for name in measures}
    with_settings = {name: own for name, own in found.items() if own}
    return {"settings": json.loads(json.dumps(with_settings))} if with_settings else {}


def by_head(what: str, layer: int, values: Any) -> list[Reading]:
    """A reading of each head, of values (H,)."""
    return [Reading(what, value, layer, head) for head, value in enumerate(values.tolist())]


METRICS = ("loss", "accuracy", "in_context_accuracy", "in_context_probability")


@MODEL_MEASURES.register("accuracy")
def accuracy(view: View) -> Iterator[Reading]:
    """Loss, accuracy, in-context accuracy and probability, as training records them."""
    found = view.metrics()
    for name in METRICS:
        value = found[name]
        if value is not None:
            yield Reading(name, value)


@MODEL_MEASURES.register("induction_strength")
def induction_strength(view: View) -> Iterator[Reading]:
    """Attention of the query to labels that are the target, less that to others, by head.

    The mean over the sequences that have labels of both kinds; none where no sequence has.
    """
    both = view.both
    if both.any():
        sign = view.right.float() * 2 - 1
        for layer, pattern in enumerate(view.patterns):
            to_labels = pattern[:, -1, 1::2]
            yield from by_head("strength", layer, (to_labels * sign).sum(1)[:, both].mean(1))


@MODEL_MEASURES.register("query_attention")
def query_attention(view: View) -> Iterator[Reading]:
    """Attention of the query to the target, other labels, exemplars and itself, by head."""
    for layer, pattern in enumerate(view.patterns):
        row = pattern[:, -1]
        to_labels = row[:, 1::2]
        shares = {
            "correct": (to_labels * view.right).sum(1),
            "other": (to_labels * ~view.right).sum(1),
            "exemplars": row[:, :-1:2].sum(1),
            "self": row[:, -1],
        }
        for what, share in shares.items():
            yield from by_head(what, layer, share.mean(1))


@MODEL_MEASURES.register("query_row")
def query_row(view: View) -> Iterator[Reading]:
    """Attention of the query to each token, by head and by the pair whose label is the target.

    Over the sequences in which one label alone is; pairs count from 1, tokens (`at`) from 0.
    """
    one = view.right.sum(0) == 1
    for pair, right in enumerate(view.right, 1):
        here = one & right
        for layer, pattern in enumerate(view.patterns if here.any() else ()):
            for token, values in enumerate(pattern[:, -1, :, here].mean(-1).T):
                for reading in by_head(f"target in pair {pair}", layer, values):
                    yield replace(reading, at=token)


def _of_labels(view: View, back: int) -> Iterator[tuple[int, Tensor]]:
    """Layer, and its labels' attention (H,) to the token so many before; not of the last layer,
    of which the query's row alone is computed.
    """
    for layer, pattern in enumerate(view.patterns[:-1]):
        rows = [pattern[:, t, t - back] for t in range(1, pattern.shape[-2], 2)]
        yield layer, torch.stack(rows).mean((0, 2))


@MODEL_MEASURES.register("previous_token")
def previous_token(view: View) -> Iterator[Reading]:
    """Attention of labels to the token before them, by head, of all layers but the last."""
    for layer, values in _of_labels(view, 1):
        yield from by_head("score", layer, values)


@MODEL_MEASURES.register("self_attention")
def self_attention(view: View) -> Iterator[Reading]:
    """Attention of labels to themselves, by head, of all layers but the last."""
    for layer, values in _of_labels(view, 0):
        yield from by_head("score", layer, values)


STAGES: tuple[What, ...] = ("queries", "keys", "values")


@MODEL_MEASURES.register("composition")
def composition(view: View) -> Iterator[Reading]:
    """In-context accuracy as it is, and with the heads before the last layer adding nothing.

    Then with queries, keys and values of all layers kept (what is left is their direct path),
    and with two of these kept, so that one is computed from the embeddings alone: where accuracy
    falls, that one composes.
    """
    before = range(view.model.config.n_layers - 1)
    silent = [Ablate(heads=tuple(f"{layer}:*" for layer in before))] if before else []
    cases = {"default": (), "kept": (*silent, Preserve(what=STAGES))}
    for stage in STAGES:
        kept: tuple[What, ...] = tuple(each for each in STAGES if each != stage)
        cases[f"only {stage} recomputed"] = (*silent, Preserve(what=kept))
    for what, interventions in cases.items():
        yield Reading(what, view.metric("in_context_accuracy", *interventions))


STRENGTHS = tuple(np.linspace(0, 1, 11).tolist())


@MODEL_MEASURES.register("copying")
def copying(view: View, *, strengths: tuple[float, ...] = STRENGTHS) -> Iterator[Reading]:
    """In-context accuracy of each head of the last layer alone, clamped to the target by strength.

    All other heads add nothing and tokens are 0 (positions, biases and MLPs stay); values are kept.
    `at` is the attention to the target's label less that to the other, from -1 to 1.
    """
    config = view.model.config
    last = config.n_layers - 1
    for head in range(config.n_heads):
        others = [f"{layer}:{h}" for layer in range(last + 1) for h in range(config.n_heads)]
        others.remove(f"{last}:{head}")
        alone = [AblateEmbedding(), Preserve(what=("patterns", "values"))]
        if others:
            alone.append(Ablate(heads=tuple(others)))
        for strength in strengths:
            clamp = ClampPattern(heads=(f"{last}:{head}",), strength=strength)
            accuracy = view.metric("in_context_accuracy", *alone, clamp)
            yield Reading("accuracy", accuracy, last, head, 2 * strength - 1)


@MODEL_MEASURES.register("paths")
def paths(view: View) -> Iterator[Reading]:
    """In-context accuracy of the whole, of the path without heads, and of heads alone.

    Without heads the query's own embedding, and what MLPs make of it, is all that there is (pure
    in-weights learning); of heads alone, embeddings are 0 and patterns and values are kept.
    """
    every_head = Ablate(heads=tuple(f"{layer}:*" for layer in range(view.model.config.n_layers)))
    cases = {
        "default": (),
        "no heads": (every_head,),
        "heads alone": (AblateEmbedding(), Preserve(what=("patterns", "values"))),
    }
    for what, interventions in cases.items():
        yield Reading(what, view.metric("in_context_accuracy", *interventions))


SHOWN = 250  # sequences: enough to see whether heads go together
TEMPERATURES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
METRIC = "in_context_probability"


@MODEL_MEASURES.register("head_alone")
def head_alone(view: View, *, temperatures: tuple[float, ...] = TEMPERATURES) -> Iterator[Reading]:
    """In-context probability of each head of the last layer alone, by temperature (figure 15b).

    The layer's other heads add nothing, and the head attends to labels only.
    """
    config = view.model.config
    last = config.n_layers - 1
    for temperature in temperatures:
        for head in range(config.n_heads):
            own = (f"{last}:{head}",)
            others = tuple(f"{last}:{h}" for h in range(config.n_heads) if h != head)
            alone = [SilenceNonLabels(heads=own), Temperature(heads=own, temperature=temperature)]
            if others:
                alone.append(Ablate(heads=others))
            yield Reading("alone", view.metric(METRIC, *alone), last, head, temperature)


@MODEL_MEASURES.register("superposition")
def superposition(
    view: View, *, temperatures: tuple[float, ...] = TEMPERATURES
) -> Iterator[Reading]:
    """In-context probability where the temperature of one head of the last layer changes (15c).

    All heads of the layer are active and attend to labels only; the others keep temperature 1.
    """
    config = view.model.config
    last = config.n_layers - 1
    labels_only = SilenceNonLabels(heads=(f"{last}:*",))
    for temperature in temperatures:
        for head in range(config.n_heads):
            one = Temperature(heads=(f"{last}:{head}",), temperature=temperature)
            value = view.metric(METRIC, labels_only, one)
            yield Reading("one of all", value, last, head, temperature)


@MODEL_MEASURES.register("common_temperature")
def common_temperature(
    view: View, *, temperatures: tuple[float, ...] = TEMPERATURES
) -> Iterator[Reading]:
    """In-context probability where all heads of the last layer share one temperature.

    A variant of our own beside figure 15c; heads may attend to exemplars too.
    """
    last = view.model.config.n_layers - 1
    for temperature in temperatures:
        heated = Temperature(heads=(f"{last}:*",), temperature=temperature)
        yield Reading("all", view.metric(METRIC, heated), last, None, temperature)


@MODEL_MEASURES.register("strength_by_sequence")
def strength_by_sequence(view: View, *, n_sequences: int = SHOWN) -> Iterator[Reading]:
    """Induction strength of the last layer's heads on single sequences, the first 250 (`at`).

    Of those that have labels that are the target, and others.
    """
    both = torch.nonzero(view.both)[:n_sequences, 0]
    sign = view.right[:, both].float() * 2 - 1
    row = view.patterns[-1][:, -1, 1::2, both]
    last = view.model.config.n_layers - 1
    for sequence, values in zip(both.tolist(), (row * sign).sum(1).T, strict=True):
        for head, value in enumerate(values.tolist()):
            yield Reading("strength", value, last, head, sequence)
