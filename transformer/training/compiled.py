"""Compiled and captured training steps.

A compiled step is compared with the plain one before it is used: compilers have faults, and one
that went unnoticed would spoil all that follows.
"""

import sys
from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from coopetition.tools.errors import UserError
from transformer.config.run import Precision

# `torch.library.custom_op` with `register_autograd` cannot be used under `torch.func.grad`
_NAME = "coopetition::fusion_barrier"
if not hasattr(torch.ops.coopetition, "fusion_barrier"):  # it stays when a module is reloaded
    torch.library.define(_NAME, "(Tensor x) -> Tensor")
    torch.library.impl(_NAME, "CompositeExplicitAutograd", lambda x: x.clone())
    torch.library.register_fake(_NAME, torch.empty_like)


class _FusionBarrier(torch.autograd.Function):
    """The identity, forwards and backwards, as an operation that the compiler cannot see into."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.ops.coopetition.fusion_barrier(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Keep nothing for the backward pass."""

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # pyright: ignore
        return torch.ops.coopetition.fusion_barrier(slope)


def fusion_barrier(x: Tensor) -> Tensor:
    """Return a copy of x that separates what the compiler may fuse.

    Where torch 2.13 fuses operations of many layers (from three with MLPs or five without, on a
    CPU with vector instructions), the gradients of the first layers are wrong.
    """
    return _FusionBarrier.apply(x)  # pyright: ignore


class GraphReplay:
    """Capture a function that changes tensors in place as one CUDA graph, then replay it.

    The first calls run plainly, on a side stream, so that libraries can set themselves up.
    """

    WARM_UP = 3

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.calls = 0
        self.inputs: tuple[Tensor, ...] = ()
        self.graph = torch.cuda.CUDAGraph()

    def __call__(self, *inputs: Tensor) -> None:
        """Run the function on inputs whose shapes never change."""
        self.calls += 1
        if self.calls <= self.WARM_UP:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self.function(*inputs)
            torch.cuda.current_stream().wait_stream(stream)
            return
        if not self.inputs:
            self.inputs = tuple(each.clone() for each in inputs)
            with torch.cuda.graph(self.graph):  # records, does not run
                self.function(*self.inputs)
        for kept, value in zip(self.inputs, inputs, strict=True):
            kept.copy_(value)
        self.graph.replay()


Named = dict[str, Tensor]
Gradients = Callable[..., tuple[Named, Tensor, Named]]

# relative error of a gradient: compilers reorder sums (4e-6 was seen in float32), half precision
# rounds to 0.004
MAX_ERROR: dict[Precision, float] = {
    "float32": 1e-3,
    "float64": 1e-3,
    "tf32": 0.05,
    "bfloat16": 0.05,
}
NEGLIGIBLE = 0.01  # share of the largest gradient below which a gradient may be mere rounding
ROUNDING = 1e-6  # relative, of a float32 after some operations


class NotCompiled(UserError):
    """The step cannot be compiled, or the compiled step differs from the plain one."""


class CompiledStep:
    """Gradients and update, each compiled by itself.

    Compiled as one by torch 2.13, some gradients would read parameters that are updated already.

    Parameters
    ----------
    gradients : method of (features, labels, target) that returns gradients by name, the losses,
        and statistics by name
    update : method of these and the step numbers that changes `state` in place
    state : all tensors that `update` changes, by name
    """

    def __init__(
        self,
        gradients: Gradients,
        update: Callable[..., None],
        state: Named,
        precision: Precision,
    ) -> None:
        self._plain = gradients, update
        self._gradients, self._update = _compile(gradients), _compile(update)
        self._state = state
        self._max_error = MAX_ERROR[precision]
        self._checked = False

    def __call__(self, features: Tensor, labels: Tensor, target: Tensor, numbers: Tensor) -> None:
        """Make one step.

        The first raises `NotCompiled`, and leaves the state as it was, if it cannot be compiled or
        differs from the plain step.
        """
        if not self._checked:
            self._check((features, labels, target), numbers)
            self._checked = True
        self._update(*self._gradients(features, labels, target), numbers)

    def _check(self, batch: tuple[Tensor, ...], numbers: Tensor) -> None:
        print("compiling the step: half a minute, deep models longer", file=sys.stderr, flush=True)
        plain_gradients, plain_update = self._plain
        expected = plain_gradients(*batch)
        found = _first_call(self._gradients, *batch)
        self._check_gradients(found, expected)
        before = _clone(self._state)
        plain, compiled = (
            self._state_after(update, expected, numbers, before)
            for update in (plain_update, partial(_first_call, self._update))
        )
        _check_update(compiled, plain, before)

    def _state_after(
        self,
        update: Callable[..., None],
        gradients: tuple[Named, Tensor, Named],
        numbers: Tensor,
        before: Named,
    ) -> Named:
        """Return the state after an update, which is undone."""
        slopes, loss, statistics = gradients
        try:
            update(dict(slopes), loss, statistics, numbers)
            return _clone(self._state)
        finally:
            for name, value in before.items():
                self._state[name].copy_(value)

    def _check_gradients(
        self, found: tuple[Named, Tensor, Named], expected: tuple[Named, Tensor, Named]
    ) -> None:
        slopes, loss, statistics = expected
        largest = torch.stack([_norms(slope) for slope in slopes.values()])
        negligible = NEGLIGIBLE * largest.nan_to_num(0, 0).amax(0)
        for name, slope in slopes.items():
            limit = self._max_error * (_norms(slope) + negligible)
            _check_same(name, found[0][name], slope, limit)
        others = {"loss": found[1]} | found[2]
        for name, value in ({"loss": loss} | statistics).items():
            _check_same(name, others[name], value, self._max_error * _norms(value))


def _check_update(found: Named, expected: Named, before: Named) -> None:
    """Compare the states after updates by the same gradients."""
    for name, value in expected.items():
        change = _norms(value.double() - before[name].double())
        limit = MAX_ERROR["float32"] * change + ROUNDING * _norms(value)
        _check_same(name, found[name], value, limit)


def _check_same(name: str, found: Tensor, expected: Tensor, limits: Tensor) -> None:
    """Compare the values of each run; a run that diverges does so compiled or not."""
    errors = _norms(found.double() - expected.double())
    wrong = _norms(expected).isfinite() & ~(errors <= limits)  # also where one is not a number
    if wrong.any():
        raise NotCompiled(
            f"the compiled step differs from the plain one in {name} by {errors[wrong][0]:.2g} (a "
            "fault of torch.compile); use --execution eager"
        )


def _norms(value: Tensor) -> Tensor:
    """Return the norm of each run's part of a tensor (R, ...), or of a scalar."""
    return value.double().reshape(len(value) if value.dim() else 1, -1).norm(dim=1)


def _first_call(function: Callable[..., Any], *inputs: Any) -> Any:
    """Make the call that compiles; a failure raises `NotCompiled`."""
    try:
        return function(*inputs)
    # torch's compilers raise these; OSError means no disk space or no process
    except (RuntimeError, OSError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise  # the plain step would not fit either
        first_line = str(error).partition("\n")[0]
        raise NotCompiled(
            f"the step could not be compiled ({first_line}); use --execution eager"
        ) from error


def _clone(tensors: Named) -> Named:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    # a train state's tensors stay the same objects, so that no step needs torch's guards
    unguarded = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
    copy = _with_own_code(function)
    return torch.compile(copy, fullgraph=True, dynamic=False, options=unguarded)  # pyright: ignore


def _with_own_code(method: Any) -> Callable[..., Any]:
    """Return the method with a code object of its own.

    Torch compiles a code object at most 8 times; a process may have more train states than that.
    """
    function = method.__func__
    copy = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    return MethodType(copy, method.__self__)
