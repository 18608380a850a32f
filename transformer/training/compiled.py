"""Compiled and captured training steps; `transformer.training.check` checks them before use."""

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

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

    The first calls run the function itself, on the stream that captures it later, so that
    libraries can set themselves up.
    """

    WARM_UP = 3

    def __init__(self, function: Callable[..., None], device: torch.device) -> None:
        self.function, self.device = function, device
        self.calls = 0
        self.inputs: tuple[Tensor, ...] = ()
        with torch.cuda.device(device):
            self.stream = torch.cuda.Stream(device)
            self.graph = torch.cuda.CUDAGraph()

    def __call__(self, *inputs: Tensor) -> None:
        """Run the function on inputs whose shapes never change."""
        with torch.cuda.device(self.device):  # what is captured runs on the current device
            self.calls += 1
            if self.calls <= self.WARM_UP:
                self._run_on_stream(*inputs)
                return
            if not self.inputs:
                self.inputs = tuple(each.clone() for each in inputs)
                with torch.cuda.graph(self.graph, stream=self.stream):  # records, does not run
                    self.function(*self.inputs)
            for kept, value in zip(self.inputs, inputs, strict=True):
                kept.copy_(value)
            self.graph.replay()

    def _run_on_stream(self, *inputs: Tensor) -> None:
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            self.function(*inputs)
        current.wait_stream(self.stream)


class CompiledStep:
    """Gradients and update, each compiled by itself at the first call.

    Compiled as one by torch 2.13, some gradients would read parameters that are updated already.

    Parameters
    ----------
    gradients : method of (features, labels, target) that returns gradients by name, the losses,
        and statistics by name
    update : method of these and the step numbers that changes the state in place
    """

    def __init__(self, gradients: Callable[..., Any], update: Callable[..., None]) -> None:
        self._gradients, self._update = _compile(gradients), _compile(update)

    def __call__(self, features: Tensor, labels: Tensor, target: Tensor, numbers: Tensor) -> None:
        """Make one step."""
        self._update(*self._gradients(features, labels, target), numbers)


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
