"""A trained model by itself, to be asked for its logits."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from coopetition.tools.checks import check_int
from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention
from transformer.model.hooks import Intervened, matching_sites, outward, site_names
from transformer.model.parameters import Parameters, parameter_shapes, running_shapes
from transformer.model.transformer import Tap, encode, final_residual, unchanged, unembed
from transformer.runs.folder import RunFolder, load_run, newest_checkpoint


@dataclass(slots=True, repr=False)
class Model:
    """One transformer: its architecture and its weights, without a run axis.

    Attributes
    ----------
    config : the architecture
    parameters : by the names and in the shapes of `transformer.model.parameters`
    step : after how many training steps; None where that is not known
    interventions : what it is computed under: those that it was trained under
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
        """The model under further interventions, until the end of the `with`, however it ends.

        It yields what tells how often each has acted (`.acted`).  One that cannot act on this
        model, and two that contradict each other, raise `UsageError`.
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
        """The query's logits (batch, n_labels) for each sequence.

        Parameters
        ----------
        exemplars : (batch, context + 1, features) floating-point numbers, the query's last
        labels : (batch, context) whole numbers, of the exemplars in context
        tap : sees, and may replace, every activation; see `transformer.model.transformer`
        target : (batch,) the query's label, which some interventions want

        Arrays or tensors; what does not fit raises `UsageError`.
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
        """The logits, and activations by name with the batch first (`transformer.model.hooks`).

        `names` : which ones: names, patterns such as `blocks.*.pattern`, or a function of a name.
        Of the last layer, too, all tokens' are there.
        """
        if callable(names):
            wanted = set(filter(names, site_names(self.config)))
        else:
            wanted = {*matching_sites((names,) if isinstance(names, str) else names, self.config)}
        if not wanted:
            raise UsageError("names choose no site; `transformer.model.hooks` lists them")
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
        """What it is computed under, made ready once; None without interventions."""
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
        """Its parameters as those of one run."""
        return {name: value[None] for name, value in self.parameters.items()}

    def _target(self, target: ArrayLike | Tensor, n: int) -> Tensor:
        """The query's labels, checked."""
        t = _tensor(target, "target")
        if t.shape != (n,) or t.is_floating_point() or t.dtype == torch.bool:
            raise UsageError(f"target {_shown(t)}; expected ({n},) whole numbers, a label each")
        return t.to(self.parameters["W_L"].device, torch.int64)

    def _check(self, x: Tensor, y: Tensor) -> None:
        """Raise `UsageError` unless exemplars and labels are what the model reads."""
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
                    f"{came}; the model has learnt positions for a context of {context}"
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
    """Shape and type, for a message."""
    return f"{tuple(values.shape)} of {str(values.dtype).removeprefix('torch.')}"


def load_model(run: RunFolder | Path | str, step: int | None = None) -> Model:
    """The model of a run, or of the run in a folder, after a step: the newest unless given.

    Its weights are float32 and on the CPU, whatever the run was trained in and on.  A step without
    a checkpoint raises `UsageError`, a damaged one `UserError`; without `step`, damaged ones are
    passed over with a warning.
    """
    if not isinstance(run, RunFolder):
        run = load_run(run)
    if step is None:
        checkpoint, damaged = newest_checkpoint(run)
        if checkpoint is None:
            why = f": {damaged[-1]}" if damaged else "; train it until it has one"
            raise UsageError(f"{run.path} has no sound checkpoint{why}")
        for sentence in damaged:
            warnings.warn(f"{sentence}; using the one before it", stacklevel=2)
    else:
        checkpoint = run.checkpoint(check_int("step", step, 0))
    config = run.config.model
    names = parameter_shapes(config, context=0, d_features=0, n_labels=0) | running_shapes(config)
    weights = {name: checkpoint.tensors[name].float() for name in names}
    return Model(config, weights, checkpoint.step, run.config.interventions)
