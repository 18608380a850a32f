"""A model without a run axis: its logits and activations on any sequences."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention
from transformer.config.sites import matching_sites, site_names
from transformer.model.hooks import Intervened, outward
from transformer.model.parameters import Parameters
from transformer.model.transformer import Tap, encode, final_residual, unchanged, unembed


@dataclass(slots=True, repr=False)
class Model:
    """One transformer: its architecture and its weights, without a run axis.

    Attributes
    ----------
    config : the architecture
    parameters : by the names and in the shapes of `transformer.model.parameters`
    step : number of training steps; None if it is not known
    interventions : what it is computed under, at first those that it was trained under
    """

    config: ModelConfig
    parameters: Parameters
    step: int | None = None
    interventions: tuple[Intervention, ...] = ()
    _ready: tuple[tuple[Intervention, ...], Parameters, Intervened | None] | None = field(
        default=None, init=False
    )

    def __repr__(self) -> str:
        config = self.config
        at = "" if self.step is None else f", step {self.step:,}"
        return (
            f"<Model: {config.n_layers} layers, {config.n_heads} heads, d_model {config.d_model}, "
            f"{self.n_labels:,} labels{at}>"
        )

    @property
    def n_labels(self) -> int:
        """Number of labels, and of logits."""
        return self.parameters["W_L"].shape[0]

    @contextmanager
    def intervened(self, *interventions: Intervention) -> Iterator[Intervened]:
        """Compute the model under further interventions until the end of the `with`.

        It yields an object that counts how often each has acted (`.acted`).  Interventions that
        cannot act on this model, or contradict each other, raise `UsageError`.
        """
        before = self.interventions, self._ready
        together = (*self.interventions, *interventions)
        alone = self.acting()
        ready = Intervened([together], self.config, self.with_run_axis(), alone)
        self.interventions, self._ready = together, (together, self.parameters, ready)
        try:
            yield ready
        finally:
            self.interventions, self._ready = before

    def logits(
        self,
        exemplars: ArrayLike | Tensor,
        labels: ArrayLike | Tensor,
        tap: Tap = unchanged,
        *,
        target: ArrayLike | Tensor | None = None,
    ) -> Tensor:
        """Return the query's logits (batch, n_labels) for each sequence.

        Parameters
        ----------
        exemplars : (batch, context + 1, features) floating-point numbers, the query's last
        labels : (batch, context) whole numbers, of the exemplars in context
        tap : sees, and may replace, every activation; see `transformer.model.transformer`
        target : (batch,) the query's label, which some interventions need

        All may be arrays or tensors.  Values or shapes that do not fit raise `UsageError`.
        """
        return self._pass(exemplars, labels, target, tap, every_row=False)

    def run_with_cache(
        self,
        exemplars: ArrayLike | Tensor,
        labels: ArrayLike | Tensor,
        *,
        names: str | tuple[str, ...] | Callable[[str], bool] = "*",
        target: ArrayLike | Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits, and activations by name with the batch first.

        The last layer, too, is computed for all tokens.  `transformer.config.sites` lists the
        names and shapes.

        Parameters
        ----------
        names : which activations: names, patterns such as `blocks.*.pattern`, or a function that
            tells whether a name is wanted
        """
        if callable(names):
            wanted = set(filter(names, site_names(self.config)))
        else:
            wanted = {*matching_sites((names,) if isinstance(names, str) else names, self.config)}
        if not wanted:
            raise UsageError("names choose no site; `transformer.config.sites` lists them")
        found: dict[str, Tensor] = {}

        def keep(name: str, value: Tensor) -> Tensor:
            if name in wanted:
                found[name] = value[0]
            return value

        z = self._pass(exemplars, labels, target, keep, every_row=True)
        return z, {name: outward(name, value, len(z)) for name, value in found.items()}

    @torch.no_grad()
    def _pass(
        self,
        exemplars: ArrayLike | Tensor,
        labels: ArrayLike | Tensor,
        target: ArrayLike | Tensor | None,
        then: Tap,
        *,
        every_row: bool,
    ) -> Tensor:
        x, y = _tensor(exemplars, "exemplars"), _tensor(labels, "labels")
        self._check(x, y)
        weight, own = self.parameters["W_L"], self.with_run_axis()
        features = x.to(weight).transpose(0, 1)[None]
        y = y.to(weight.device, torch.int64).T[None]
        t = None if target is None else self._target(target, len(x))[None]
        items, _ = encode(own, self.config, features, training=False)
        tap = then
        if acting := self.acting():
            tap = acting.tap(own, features, items, y, t, then=then, every_row=every_row)
        final = final_residual(own, self.config, items, y, tap, every_row=every_row)
        return tap("logits", unembed(own, final))[0]

    def acting(self) -> Intervened | None:
        """Return its interventions, prepared once; None without any."""
        made_of = self.interventions, self.parameters
        if self._ready is None or any(
            one is not other for one, other in zip(self._ready, made_of, strict=False)
        ):
            ready = None
            if self.interventions:
                ready = Intervened([self.interventions], self.config, self.with_run_axis())
            self._ready = (*made_of, ready)
        return self._ready[-1]

    def with_run_axis(self) -> Parameters:
        """Return its parameters as those of one run."""
        return {name: value[None] for name, value in self.parameters.items()}

    def _target(self, target: ArrayLike | Tensor, n: int) -> Tensor:
        """Return the query's labels; raise `UsageError` unless each sequence has one."""
        t = _tensor(target, "target")
        if t.shape != (n,) or t.is_floating_point() or t.dtype == torch.bool:
            raise UsageError(f"target {_shown(t)}; expected ({n},) whole numbers, a label each")
        return t.to(self.parameters["W_L"].device, torch.int64)

    def _check(self, x: Tensor, y: Tensor) -> None:
        """Raise `UsageError` unless the model can read exemplars and labels."""
        came = f"exemplars {_shown(x)} and labels {_shown(y)}"
        if x.ndim != 3 or y.shape != (x.shape[0], x.shape[1] - 1):
            raise UsageError(
                f"{came}; expected (batch, context + 1, features) and (batch, context): "
                "a label for each exemplar but the query"
            )
        if not len(x):
            raise UsageError(f"{came}; give at least one sequence")
        if not x.is_floating_point():
            raise UsageError(f"{came}; give exemplars as floating-point features (ink 1, paper 0)")
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise UsageError(f"{came}; give labels as whole numbers")
        d_features = x.shape[2]
        if self.config.encoder == "resnet":
            if math.isqrt(d_features) ** 2 != d_features:
                raise UsageError(f"{came}; the model reads square images")
        elif d_features != (expected := self.parameters["W_E"].shape[0]):
            raise UsageError(f"{came}; the model reads {expected} features")
        if "W_pos" in self.parameters:
            context = self.parameters["W_pos"].shape[0] // 2
            if y.shape[1] != context:
                raise UsageError(
                    f"{came}; the model has learned positions for a context of {context}"
                )
        y = y.to(torch.int64)
        outside = y[(y < 0) | (y >= self.n_labels)]
        if len(outside):
            raise UsageError(f"labels hold {int(outside[0])}; choose from 0 to {self.n_labels - 1}")


def _tensor(values: ArrayLike | Tensor, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    array = np.array(values)  # a copy: torch wants one that may be written to
    try:
        return torch.from_numpy(array)
    except TypeError as error:
        raise UsageError(f"{name} are of type {array.dtype}; give numbers") from error


def _shown(values: Tensor) -> str:
    """Return shape and type, for a message."""
    return f"{tuple(values.shape)} of {str(values.dtype).removeprefix('torch.')}"
