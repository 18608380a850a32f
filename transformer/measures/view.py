"""A model on the sequences of an evaluator: what measures look at."""

import inspect
import json
import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from transformer.config.interventions import Intervention
from transformer.config.registry import Registry
from transformer.data.exemplar_sets import Exemplars
from transformer.data.sequences import Sequences
from transformer.measures.metrics import evaluate, means, parts_of
from transformer.model.forward import final_residual
from transformer.model.loaded import Model


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
