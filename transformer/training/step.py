"""The training step: gradient and optimiser, for any number of runs at once.

All is arithmetic in place on tensors with a leading run axis, so that the whole step can be
compiled into a few loops, or captured as a CUDA graph.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transformer.config import ModelConfig, OptimConfig
from transformer.config.interventions import Intervention
from transformer.config.model import in_part
from transformer.config.run import Precision
from transformer.config.variants import FREE_OPTIM
from transformer.model.hooks import Intervened
from transformer.model.parameters import (
    Parameters,
    initialise,
    parameter_shapes,
    running_shapes,
)
from transformer.model.resnet import DECAY
from transformer.model.transformer import Batch, cross_entropy, encode, logits_of_items
from transformer.training.check import CheckedStep, StepState
from transformer.training.compiled import CompiledStep, GraphReplay, fusion_barrier
from transformer.training.machine import Execution, dtype_of
from transformer.training.optimisers import RULES, Moments, clip_scale, moment_names, norm_slope

GROUPED = 2**14  # parameters of at most this many elements are updated as one tensor


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that are updated as one tensor: an operation on many small ones costs little.

    `rate_factor` and `l2` are (R, 1), or (R, P) where parameters differ.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    value: Tensor
    """(R, P), of which the parameters are views."""
    moments: Moments
    rate_factor: Tensor
    """Factor on the learning rate, 0 where a parameter is frozen."""
    l2: Tensor | None
    """Coefficient of the penalty."""

    def gather(self, by_name: Parameters) -> Tensor:
        """Return tensors of the parameters' shapes as one (R, P)."""
        return _joined([by_name[name] for name in self.names])

    def penalty_slope(self, squared: bool) -> Tensor:
        """Return the gradient (R, P) of the parameters' penalties."""
        if squared:
            return self.value
        parts = self.value.split(self.sizes, 1)
        return torch.cat([norm_slope(part) for part in parts], 1)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Settings in which runs of one train state may differ."""

    init_seed: int
    optim: OptimConfig
    frozen: tuple[str, ...] = ()
    """Parts that are not trained, see `transformer.config.model`."""
    interventions: tuple[Intervention, ...] = ()
    """Interventions on every forward pass."""


class TrainState:
    """Runs that are trained together: same shapes, each with its own parameters and settings.

    A step consists of functions of tensors that change the state in place and read nothing back, so
    that they can be compiled (`torch.compile`: three to five times as fast on a CPU) or captured as
    a CUDA graph.  Runs do not affect each other: one that diverges leaves the others as they are.

    Attributes
    ----------
    parameters : name -> (R, ...), see `transformer.model.parameters`; running statistics among them
    loss_sum : (R,) sum of the losses since it was last set to 0
    failed_at : (R,) int64, the first step whose loss was not finite, or 0
    """

    def __init__(
        self,
        model: ModelConfig,
        members: list[RunSettings],
        *,
        context: int,
        d_features: int,
        n_labels: int,
        precision: Precision = "float32",
        device: torch.device,
        execution: Execution = "eager",
    ) -> None:
        self.model, self.device = model, device
        self.context, self.d_features, self.n_labels = context, d_features, n_labels
        self.precision: Precision = precision
        self.optim = replace(members[0].optim, **FREE_OPTIM)  # what all members have in common
        self.dtype = dtype_of(precision)
        shapes = parameter_shapes(model, context=context, d_features=d_features, n_labels=n_labels)
        self._running = running_shapes(model)
        self.parameters = _stack(
            [initialise(model, shapes | self._running, m.init_seed) for m in members],
            device,
            self.dtype,
        )
        self.moments: dict[str, Moments] = {name: {} for name in shapes}
        self.loss_sum = torch.zeros(len(members), device=device, dtype=self.dtype)
        self.failed_at = torch.zeros(len(members), device=device, dtype=torch.int64)
        self._t = torch.zeros((), device=device, dtype=torch.int64)
        self._members = members
        small = [name for name, shape in shapes.items() if math.prod(shape) <= GROUPED]
        large = [[name] for name in shapes if name not in small]
        self._groups = [self._group(names) for names in (small, *large) if names]
        self._statistics = self._group([*self._running]) if self._running else None
        limits = [m.optim.clip_norm or torch.inf for m in members]
        self._clip = self._run_tensor(limits) if min(limits) < torch.inf else None
        each = [member.interventions for member in members]
        self.intervened = Intervened(each, model, self.parameters) if any(each) else None
        self.execute_as(execution)

    def _run_tensor(self, values: list[float]) -> Tensor:
        return torch.tensor(values, device=self.device, dtype=self.dtype)

    def _rate_factors(self, name: str) -> list[float]:
        """Return the factor on a parameter's learning rate in each run, 0 where it is frozen."""
        factors = [m.optim.rate_factor(name, m.frozen) for m in self._members]
        return [float(each > 0) for each in factors] if name in self._running else factors

    def _group(self, names: list[str]) -> Group:
        """Join parameters, and the moments of those that are trained; they become views."""
        own = {name: self.parameters[name] for name in names}
        value = _joined([*own.values()])
        self.parameters |= _views(value, own)
        is_trained = names[0] in self.moments
        kept = moment_names(self.optim) if is_trained else ()
        moments = {moment: torch.zeros_like(value) for moment in kept}
        for moment, joined in moments.items():
            for name, view in _views(joined, own).items():
                self.moments[name][moment] = view
        l2 = [
            [sum(c for part, c in m.optim.l2 if in_part(name, part)) for m in self._members]
            for name in names
        ]
        sizes = tuple(each[0].numel() for each in own.values())
        return Group(
            tuple(names),
            sizes,
            value,
            moments,
            self._by_parameter([self._rate_factors(name) for name in names], sizes),
            self._by_parameter(l2, sizes) if is_trained and any(map(any, l2)) else None,
        )

    def _by_parameter(self, numbers: list[list[float]], sizes: tuple[int, ...]) -> Tensor:
        """Return numbers, by parameter and run, as (R, 1) if parameters agree, else as (R, P)."""
        if all(each == numbers[0] for each in numbers):
            return self._run_tensor(numbers[0]).unsqueeze(1)
        by_run = torch.tensor(numbers, dtype=self.dtype).T
        return by_run.repeat_interleave(torch.tensor(sizes), 1).to(self.device)

    def execute_as(self, execution: Execution) -> None:
        """Choose how further steps are executed, compiled for torch's present number of threads.

        If not eagerly, the first step checks that (`transformer.training.check`).
        """
        is_compiled, is_graph = "compiled" in execution, "graph" in execution
        # the last two layers may be fused: that is fast, and the very last is the query's alone
        n_cuts = self.model.n_layers - 2 if is_compiled else 0
        self._cuts = {f"blocks.{layer}.resid_post" for layer in range(n_cuts)}
        step: Callable[..., None] = self._step
        if is_compiled:
            step = CompiledStep(self._traceable_gradients, self._update)
        if is_graph:
            step = GraphReplay(step, self.device)
        if execution != "eager":
            warm_up = GraphReplay.WARM_UP + 1 if is_graph else 0
            state = self._step_state()
            step = CheckedStep(execution, step, self._step, state, self.precision, warm_up)
        self.run_step = step

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Undo at the end all changes that steps have made; copies are kept in main memory."""
        state = self._step_state()
        before = state.copy()
        try:
            yield
        finally:
            state.restore(before)

    def step(self, features: Tensor, labels: Tensor, target: Tensor, numbers: Tensor) -> None:
        """Make one step of every run.

        Parameters
        ----------
        features : (R, C + 1, B, D);  labels : (R, C, B);  target : (R, B)
        numbers : (3, R), `transformer.training.optimisers.step_numbers` of each run
        """
        with torch.no_grad():
            self.run_step(features, labels, target, numbers)

    def _step(self, features: Tensor, labels: Tensor, target: Tensor, numbers: Tensor) -> None:
        self._update(*self._gradients(features, labels, target), numbers)

    @torch.no_grad()
    def gradient_norms(self, features: Tensor, labels: Tensor, target: Tensor) -> list[float]:
        """Return the norm of each run's gradient over what it trains, without penalties.

        It takes the time of a plain step, however steps are executed.
        """
        gradients, _, _ = self._gradients(features, labels, target)
        squares = [
            (g.gather(gradients).square() * (g.rate_factor > 0)).sum(1) for g in self._groups
        ]
        return torch.stack(squares).sum(0).sqrt().tolist()

    def _gradients(
        self, features: Tensor, labels: Tensor, target: Tensor
    ) -> tuple[Parameters, Tensor, Parameters]:
        """Return the gradients, the losses (R,), and the batch's statistics if any."""
        trained = {name: self.parameters[name].detach().requires_grad_() for name in self.moments}
        with torch.enable_grad():
            total, (loss, statistics) = self._loss(trained, features, labels, target)
        # an intervention may leave a parameter without effect; its gradient is 0
        slopes = torch.autograd.grad(total, list(trained.values()), materialize_grads=True)
        statistics = {name: value.detach() for name, value in statistics.items()}
        return dict(zip(trained, slopes, strict=True)), loss.detach(), statistics

    def _traceable_gradients(
        self, features: Tensor, labels: Tensor, target: Tensor
    ) -> tuple[Parameters, Tensor, Parameters]:
        """Return what `_gradients` returns, for torch to compile.

        Executed eagerly it takes twice the memory: it keeps the backward pass for a second one.
        """
        gradients, (loss, statistics) = torch.func.grad(self._loss, has_aux=True)(
            {name: self.parameters[name] for name in self.moments}, features, labels, target
        )
        return gradients, loss, statistics

    def _update(
        self, gradients: Parameters, loss: Tensor, statistics: Parameters, numbers: Tensor
    ) -> None:
        """Change the state in place."""
        self._t.add_(1)
        slopes = [group.gather(gradients) for group in self._groups]
        for number, group in enumerate(self._groups):
            if group.l2 is not None:
                penalty = group.penalty_slope(self.optim.penalty == "squared")
                slopes[number] = torch.addcmul(slopes[number], group.l2, penalty)
        if self._clip is not None:
            pairs = zip(slopes, self._groups, strict=True)
            trained = [g * (group.rate_factor > 0) for g, group in pairs]
            # torch 2.13 cannot fuse the sums of all groups with what they scale
            scale = fusion_barrier(clip_scale(trained, self._clip)).unsqueeze(1)
            slopes = [g * scale for g in slopes]
        rate, of_mean, of_square = numbers.unsqueeze(2)
        for slope, group in zip(slopes, self._groups, strict=True):
            own = rate * group.rate_factor, of_mean, of_square
            RULES[self.optim.algorithm](self.optim, group.value, slope, group.moments, own)
        if self._statistics is not None:
            running = self._statistics
            seen = running.gather(statistics).to(self.dtype)
            running.value.lerp_(seen, ((1 - DECAY) * running.rate_factor).expand_as(seen))
        self.loss_sum.add_(loss)
        fails = (self.failed_at == 0) & ~torch.isfinite(loss)
        self.failed_at.copy_(torch.where(fails, self._t, self.failed_at))

    def _loss(
        self, parameters: Parameters, features: Tensor, labels: Tensor, target: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Parameters]]:
        """Return the sum of the losses, whose gradient is each run's own, and the losses (R,)."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            items, statistics = encode(parameters, self.model, features, training=True)
            tap = self._cut
            if self.intervened:
                batch = Batch(features, items, labels, target)
                tap = self.intervened.tap(parameters, batch, then=self._cut)
            z = logits_of_items(parameters, self.model, items, labels, tap)
        losses = cross_entropy(z.to(self.dtype), target)
        return losses.sum(), (losses, statistics)

    def _cut(self, name: str, value: Tensor) -> Tensor:
        """Separate layers that must not be fused (a tap)."""
        return fusion_barrier(value) if name in self._cuts else value

    def run_parameters(self, run: int) -> Parameters:
        """Return views of one run's parameters, with a run axis of length 1."""
        return {name: value[run : run + 1] for name, value in self.parameters.items()}

    def select_parameters(self, runs: list[int]) -> Parameters:
        """Return some runs' parameters: views of one or all, else copies."""
        if len(runs) == 1:
            return self.run_parameters(runs[0])
        if len(runs) == len(self.loss_sum):
            return self.parameters
        return {name: value[runs] for name, value in self.parameters.items()}

    def tensors(self, run: int) -> dict[str, Tensor]:
        """Return copies of all tensors on which one run's further steps depend, by name."""
        tensors = {name: view[run] for name, view in self._state_views().items()}
        tensors["optimiser.step"] = self._t
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def are_finite(self) -> list[bool]:
        """Return whether all `tensors` of each run are finite."""
        views = self._state_views().values()
        # the largest magnitude is not finite if any number is not; `isfinite` of all is slower
        finite = [view.reshape(len(view), -1).abs().amax(1).isfinite() for view in views]
        return torch.stack(finite).all(0).tolist()

    def load_tensors(self, run: int, state: dict[str, Tensor]) -> None:
        """Invert `tensors`; names or shapes that disagree raise `KeyError` or `ValueError`."""
        views = self._state_views()
        if unknown := set(state) - set(views) - {"optimiser.step"}:
            raise KeyError(f"no such state: {', '.join(sorted(unknown))}")
        for name, view in views.items():
            _fill(view[run], state[name], name)
        _fill(self._t, state["optimiser.step"], "optimiser.step")

    def load_parameters(self, run: int, parameters: Parameters, parts: tuple[str, ...]) -> None:
        """Take over the parameters of some parts; errors as in `load_tensors`."""
        for name, value in self.parameters.items():
            if any(in_part(name, part) for part in parts):
                _fill(value[run], parameters[name], name)

    def _step_state(self) -> StepState:
        """Return views of all that a step changes."""
        trained = {name: self.parameters[name] for name in self.moments}
        return StepState(
            trained,
            {name: each for name, each in self.parameters.items() if name not in trained},
            {
                moment: {name: each[moment] for name, each in self.moments.items()}
                for moment in moment_names(self.optim)
            },
            {"loss_sum": self.loss_sum, "failed_at": self.failed_at, "step": self._t},
        )

    def _state_views(self) -> dict[str, Tensor]:
        views = self.parameters | {"loss_sum": self.loss_sum}
        for name, moments in self.moments.items():
            views |= {f"optimiser.{moment}.{name}": value for moment, value in moments.items()}
        return views


def _stack(each: list[Parameters], device: torch.device, dtype: torch.dtype) -> Parameters:
    return {
        name: torch.stack([parameters[name] for parameters in each]).to(device, dtype)
        for name in each[0]
    }


def _joined(values: list[Tensor]) -> Tensor:
    """Return tensors (R, ...) as one (R, P)."""
    flat = [value.flatten(1) for value in values]
    return flat[0] if len(flat) == 1 else torch.cat(flat, 1)


def _views(joined: Tensor, like: Parameters) -> Parameters:
    """Return the parts of a joined tensor in the shapes of those that it joins."""
    parts = joined.split([value[0].numel() for value in like.values()], 1)
    views = zip(like.items(), parts, strict=True)
    return {name: part.view(value.shape) for (name, value), part in views}


def _fill(target: Tensor, value: Tensor, name: str) -> None:
    if value.shape != target.shape:
        raise ValueError(f"{name} is {list(value.shape)}; expected {list(target.shape)}")
    target.copy_(value)
