"""Measures of a model: of its weights, its attention, and its accuracy under interventions."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from transformer.config.interventions import Intervention
from transformer.config.model import in_part
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
from transformer.measures import Row, measure, reading
from transformer.measures.metrics import batches, evaluate, means
from transformer.model.loaded import Model
from transformer.model.transformer import final_residual

PARTS = ("encoder", "labels", "positions", "attention", "mlp", "unembedding")
ACCURACY, PROBABILITY = "in_context_accuracy", "in_context_probability"
RECORDED = ("loss", "accuracy", ACCURACY, PROBABILITY)
STAGES: tuple[What, ...] = ("queries", "keys", "values")
STRENGTHS = tuple(np.linspace(0, 1, 11).tolist())
TEMPERATURES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
N_SEQUENCES = 250  # enough to see whether the strengths of heads are correlated


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

    @property
    def last(self) -> int:
        """The number of the last layer."""
        return self.model.config.n_layers - 1

    @property
    def heads(self) -> range:
        """The numbers of a layer's heads."""
        return range(self.model.config.n_heads)

    @cached_property
    def right(self) -> Tensor:
        """Which labels in context (C, n) are the target."""
        return self.sequences.labels == self.sequences.target

    @cached_property
    def both(self) -> Tensor:
        """Which sequences (n,) have labels that are the target, and others."""
        return self.right.any(0) & ~self.right.all(0)

    @cached_property
    def sign(self) -> Tensor:
        """1 for labels in context (C, n) that are the target, -1 for others."""
        return self.right.float() * 2 - 1

    @property
    def patterns(self) -> list[Tensor]:
        """Attention of each layer (H, Q, T, n); of the last layer the query's row alone.

        It is computed once for each set of the model's interventions.
        """
        under = self.model.interventions
        if under not in self._patterns:
            self._patterns[under] = self._compute_patterns()
        return self._patterns[under]

    @torch.no_grad()
    def _compute_patterns(self) -> list[Tensor]:
        config = self.model.config
        chunks: dict[str, list[Tensor]] = {
            f"blocks.{layer}.pattern": [] for layer in range(config.n_layers)
        }

        def keep(name: str, value: Tensor) -> Tensor:
            if name in chunks:
                chunks[name].append(value[0])
            return value

        own, active = self.model.with_run_axis(), self.model.active_interventions()
        for batch in batches(own, config, self.exemplars, self.sequences):
            tap = active.tap(own, batch, then=keep)
            final_residual(own, config, batch.items, batch.labels, tap)
        return [torch.cat(each, -1) for each in chunks.values()]

    def metrics(self, *interventions: Intervention) -> dict[str, float | None]:
        """Return means of all metrics under interventions (`transformer.measures.metrics`)."""
        model = self.model
        with model.intervened(*interventions) if interventions else nullcontext():
            own, active = model.with_run_axis(), model.active_interventions()
            return means(evaluate(own, model.config, self.exemplars, self.sequences, active))

    def metric(self, name: str, *interventions: Intervention) -> float:
        """Return the mean of one metric; NaN where it is undefined."""
        value = self.metrics(*interventions)[name]
        return math.nan if value is None else value


def by_head(what: str, layer: int, values: Tensor, at: float | None = None) -> Iterator[Row]:
    """Return a row for each head, of values (H,)."""
    for head, value in enumerate(values.tolist()):
        yield reading(what, value, layer, head, at)


@measure("weight_norms", per="checkpoint")
def weight_norms(model: Model) -> Iterator[Row]:
    """Euclidean norm of the weights of each part; None for a part that the model lacks."""
    norms: Row = dict.fromkeys(PARTS)
    for part in PARTS:
        own = [value for name, value in model.parameters.items() if in_part(name, part)]
        if own:
            squares = [value.double().square().sum() for value in own]
            norms[part] = torch.stack(squares).sum().sqrt().item()
    yield norms


@measure("accuracy", per="evaluator")
def accuracy(view: View) -> Iterator[Row]:
    """Loss, accuracy, in-context accuracy and probability, as training records them."""
    for name, value in view.metrics().items():
        if name in RECORDED and value is not None:
            yield reading(name, value)


@measure("induction_strength", per="evaluator")
def induction_strength(view: View) -> Iterator[Row]:
    """Attention of the query to the target's labels minus that to other labels, by head.

    The mean is over the sequences that have labels of both kinds; no rows if there are none.
    """
    if view.both.any():
        for layer, pattern in enumerate(view.patterns):
            strength = (pattern[:, -1, 1::2] * view.sign).sum(1)
            yield from by_head("strength", layer, strength[:, view.both].mean(1))


@measure("query_attention", per="evaluator")
def query_attention(view: View) -> Iterator[Row]:
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


@measure("query_row", per="evaluator")
def query_row(view: View) -> Iterator[Row]:
    """Attention of the query to each token, by head and by position of the target's pair.

    Only sequences in which one label is the target count.  Pairs count from 1, tokens (`at`) from
    0.
    """
    one = view.right.sum(0) == 1
    for pair, right in enumerate(view.right, 1):
        here = one & right
        for layer, pattern in enumerate(view.patterns if here.any() else ()):
            for token, values in enumerate(pattern[:, -1, :, here].mean(-1).T):
                yield from by_head(f"target in pair {pair}", layer, values, token)


def _attention_of_labels(view: View, back: int) -> Iterator[Row]:
    """Return rows of labels' attention to the token `back` before, without the last layer.

    The last layer computes the query's row alone.
    """
    for layer, pattern in enumerate(view.patterns[:-1]):
        rows = [pattern[:, t, t - back] for t in range(1, pattern.shape[-2], 2)]
        yield from by_head("score", layer, torch.stack(rows).mean((0, 2)))


@measure("previous_token", per="evaluator")
def previous_token(view: View) -> Iterator[Row]:
    """Attention of labels to the token before them, by head, of all layers but the last."""
    return _attention_of_labels(view, 1)


@measure("self_attention", per="evaluator")
def self_attention(view: View) -> Iterator[Row]:
    """Attention of labels to themselves, by head, of all layers but the last."""
    return _attention_of_labels(view, 0)


@measure("strength_by_sequence", per="evaluator")
def strength_by_sequence(view: View, *, n_sequences: int = N_SEQUENCES) -> Iterator[Row]:
    """Induction strength of the last layer's heads on single sequences, the first 250 (`at`).

    Only sequences that have labels that are the target, and others, count.
    """
    both = torch.nonzero(view.both)[:n_sequences, 0]
    row = view.patterns[-1][:, -1, 1::2, both]
    strengths = (row * view.sign[:, both]).sum(1).T
    for sequence, values in zip(both.tolist(), strengths, strict=True):
        yield from by_head("strength", view.last, values, sequence)


def _accuracies(view: View, cases: dict[str, tuple[Intervention, ...]]) -> Iterator[Row]:
    """Return rows of in-context accuracy under the interventions of each case."""
    for what, interventions in cases.items():
        yield reading(what, view.metric(ACCURACY, *interventions))


@measure("composition", per="evaluator")
def composition(view: View) -> Iterator[Row]:
    """In-context accuracy of the model, and of the model without heads before the last layer.

    Then with queries, keys and values of all layers kept (only the direct path is left), and with
    two of the three kept, so that one is computed from the embeddings alone.  Where accuracy falls,
    that one depends on earlier heads.
    """
    before = tuple(f"{layer}:*" for layer in range(view.last))
    silent = (Ablate(heads=before),) if before else ()
    cases = {"default": (), "kept": (*silent, Preserve(what=STAGES))}
    for stage in STAGES:
        kept: tuple[What, ...] = tuple(each for each in STAGES if each != stage)
        cases[f"only {stage} recomputed"] = (*silent, Preserve(what=kept))
    return _accuracies(view, cases)


@measure("paths", per="evaluator")
def paths(view: View) -> Iterator[Row]:
    """In-context accuracy of the model, of the path without heads, and of heads alone.

    Without heads, the query's own embedding and what MLPs make of it are left (pure in-weights
    learning).  For heads alone, embeddings are 0, and patterns and values are kept.
    """
    every_head = Ablate(heads=tuple(f"{layer}:*" for layer in range(view.last + 1)))
    cases = {
        "default": (),
        "no heads": (every_head,),
        "heads alone": (AblateEmbedding(), Preserve(what=("patterns", "values"))),
    }
    return _accuracies(view, cases)


def _ablate_all_but(head: str, heads: list[str]) -> tuple[Ablate, ...]:
    """Return the ablation of all other heads; none if there are no others."""
    others = tuple(each for each in heads if each != head)
    return (Ablate(heads=others),) if others else ()


@measure("copying", per="evaluator")
def copying(view: View, *, strengths: tuple[float, ...] = STRENGTHS) -> Iterator[Row]:
    """In-context accuracy of single heads of the last layer, by strength of clamped attention.

    All other heads add nothing and tokens are 0 (positions, biases and MLPs stay); values are kept.
    `at` is the attention to the target's label less that to the other, from -1 to 1.
    """
    heads = [f"{layer}:{head}" for layer in range(view.last + 1) for head in view.heads]
    for number in view.heads:
        head = f"{view.last}:{number}"
        kept = Preserve(what=("patterns", "values"))
        alone = (AblateEmbedding(), kept, *_ablate_all_but(head, heads))
        for strength in strengths:
            clamp = ClampPattern(heads=(head,), strength=strength)
            value = view.metric(ACCURACY, *alone, clamp)
            yield reading("accuracy", value, view.last, number, 2 * strength - 1)


@measure("head_alone", per="evaluator")
def head_alone(view: View, *, temperatures: tuple[float, ...] = TEMPERATURES) -> Iterator[Row]:
    """In-context probability of single heads of the last layer, by temperature (figure 15b).

    The layer's other heads add nothing, and the head attends to labels only.
    """
    heads = [f"{view.last}:{number}" for number in view.heads]
    for temperature in temperatures:
        for number, head in enumerate(heads):
            heated = Temperature(heads=(head,), temperature=temperature)
            alone = (SilenceNonLabels(heads=(head,)), heated, *_ablate_all_but(head, heads))
            yield reading("alone", view.metric(PROBABILITY, *alone), view.last, number, temperature)


@measure("superposition", per="evaluator")
def superposition(view: View, *, temperatures: tuple[float, ...] = TEMPERATURES) -> Iterator[Row]:
    """In-context probability of the model, by temperature of one last-layer head (figure 15c).

    All heads of the layer are active and attend to labels only; the others keep temperature 1.
    """
    labels_only = SilenceNonLabels(heads=(f"{view.last}:*",))
    for temperature in temperatures:
        for number in view.heads:
            heated = Temperature(heads=(f"{view.last}:{number}",), temperature=temperature)
            value = view.metric(PROBABILITY, labels_only, heated)
            yield reading("one of all", value, view.last, number, temperature)


@measure("common_temperature", per="evaluator")
def common_temperature(
    view: View, *, temperatures: tuple[float, ...] = TEMPERATURES
) -> Iterator[Row]:
    """In-context probability of the model, by common temperature of all last-layer heads.

    A variant of our own beside figure 15c; heads may attend to exemplars too.
    """
    for temperature in temperatures:
        heated = Temperature(heads=(f"{view.last}:*",), temperature=temperature)
        yield reading("all", view.metric(PROBABILITY, heated), view.last, None, temperature)
