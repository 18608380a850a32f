"""A model without a run axis: its logits and activations on any sequences."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention
from transformer.config.sites import matching_sites
from transformer.model.hooks import Intervened, outward
from transformer.model.parameters import Parameters
from transformer.model.transformer import Tap, final_residual, make_batch, unchanged, unembed


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
    _active: tuple[Any, Any, Any] = field(default=(None, None, None), init=False)
    """Interventions and parameters, and what they were prepared to."""

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
        alone, before = self.active_interventions(), (self.interventions, self._active)
        together = (*self.interventions, *interventions)
        active = Intervened([together], self.config, self.with_run_axis(), alone)
        self.interventions, self._active = together, (together, self.parameters, active)
        try:
            yield active
        finally:
            self.interventions, self._active = before

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
        names: str | tuple[str, ...] = "*",
        target: ArrayLike | Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits, and activations by name with the batch first.

        The last layer, too, is computed for all tokens.  `transformer.config.sites` lists the
        names and shapes.

        Parameters
        ----------
        names : which activations: names, or patterns such as `blocks.*.pattern`
        """
        wanted = matching_sites((names,) if isinstance(names, str) else names, self.config)
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
        if advice := self._misfit(x, y):
            raise UsageError(f"exemplars {_shown(x)} and labels {_shown(y)}; {advice}")
        weight = self.parameters["W_L"]
        features, y = x.to(weight).transpose(0, 1)[None], y.to(weight.device, torch.int64).T[None]
        t = None if target is None else self._target(target, len(x))[None]
        final, tap = self.final(features, y, t, then=then, every_row=every_row)
        return tap("logits", unembed(self.with_run_axis(), final))[0]

    def final(
        self,
        features: Tensor,
        labels: Tensor,
        target: Tensor | None,
        *,
        first: Tap = unchanged,
        then: Tap = unchanged,
        every_row: bool = False,
    ) -> tuple[Tensor, Tap]:
        """Return the query's final residual (1, B, d), and the tap for its logits.

        Features (1, C + 1, B, D), labels (1, C, B) and target (1, B) have a run axis; `first` sees
        activations before its interventions, `then` after them.
        """
        own = self.with_run_axis()
        batch = make_batch(own, self.config, features, labels, target)
        own_tap = self.active_interventions().tap(own, batch, then=then, every_row=every_row)

        def tap(name: str, value: Tensor) -> Tensor:
            return own_tap(name, first(name, value))

        return final_residual(own, self.config, batch.items, labels, tap, every_row=every_row), tap

    def active_interventions(self) -> Intervened:
        """Return its interventions, prepared once."""
        interventions, parameters, active = self._active
        if interventions is not self.interventions or parameters is not self.parameters:
            active = Intervened([self.interventions], self.config, self.with_run_axis())
            self._active = self.interventions, self.parameters, active
        return active

    def with_run_axis(self) -> Parameters:
        """Return its parameters as those of one run."""
        return {name: value[None] for name, value in self.parameters.items()}

    def _target(self, target: ArrayLike | Tensor, n: int) -> Tensor:
        """Return the query's labels; raise `UsageError` unless each sequence has one."""
        t = _tensor(target, "target")
        if t.shape != (n,) or t.is_floating_point() or t.dtype == torch.bool:
            raise UsageError(f"target {_shown(t)}; expected ({n},) whole numbers, a label each")
        return t.to(self.parameters["W_L"].device, torch.int64)

    def _misfit(self, x: Tensor, y: Tensor) -> str:
        """Return why the model cannot read exemplars and labels, empty if it can."""
        if x.ndim != 3 or y.shape != (x.shape[0], x.shape[1] - 1):
            return (
                "expected (batch, context + 1, features) and (batch, context): a label for each "
                "exemplar but the query"
            )
        if not len(x):
            return "give at least one sequence"
        if not x.is_floating_point():
            return "give exemplars as floating-point features (ink 1, paper 0)"
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            return "give labels as whole numbers"
        if self.config.encoder == "resnet" and math.isqrt(x.shape[2]) ** 2 != x.shape[2]:
            return "the model reads square images"
        if self.config.encoder == "linear" and x.shape[2] != len(self.parameters["W_E"]):
            return f"the model reads {len(self.parameters['W_E'])} features"
        context = len(self.parameters.get("W_pos", ())) // 2
        if context and y.shape[1] != context:
            return f"the model has learned positions for a context of {context}"
        y = y.to(torch.int64)
        outside = y[(y < 0) | (y >= self.n_labels)]
        if len(outside):
            return f"labels hold {int(outside[0])}; choose from 0 to {self.n_labels - 1}"
        return ""


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


@torch.no_grad()
def logits_by_head(
    model: Model,
    exemplars: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    target: ArrayLike | Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the direct contributions of heads to the logits of the labels in context.

    The final layer norm is a linear map for a given scale of the residual.  A head contributes what
    it adds to the query's residual, passed through that map and the unembedding; its effect on
    later layers does not count.  Contributions and rest sum to the logits.  A model whose logits an
    intervention sets (`GraftOut`, `CopyFromPattern`) raises `UsageError`.

    Returns
    -------
    by_head : (batch, layers, heads, context)
    rest : (batch, context), of the query's own path, biases and MLPs
    """
    p, config = model.parameters, model.config
    for each in model.interventions:
        if "the logits" in each.claims:
            raise UsageError(f"{each.to_text()} sets the logits; ask the model without it")
    names = ("blocks.*.z", "*.resid_post")
    z, cache = model.run_with_cache(exemplars, labels, names=names, target=target)
    last = cache[f"blocks.{config.n_layers - 1}.resid_post"][:, -1]
    y = torch.as_tensor(labels).long()
    towards = p["W_U"].T[y]  # (batch, context, d)
    if config.norm:
        scale = last.var(-1, correction=0).add(1e-5).rsqrt()
        towards = towards * p["ln_final_w"][0]
        towards = (towards - towards.mean(-1, keepdim=True)) * scale[:, None, None]
    by_layer = []
    for layer in range(config.n_layers):
        mixed = cache[f"blocks.{layer}.z"][:, -1]  # (batch, heads, d_head)
        weight = p[f"blocks.{layer}.W_O"].unflatten(0, (config.n_heads, config.d_head))
        added = torch.einsum("bhi,hid->bhd", mixed, weight)
        by_layer.append(torch.einsum("bhd,bcd->bhc", added, towards))
    by_head = torch.stack(by_layer, 1)
    return by_head, z.gather(1, y) - by_head.sum((1, 2))
