"""An identity that a compiler cannot look through, to keep the parts of a model apart.

A step as one CUDA graph: recorded once, then replayed without Python.

A compiled training step, which is compared with the plain one before it is used.

Compilers have faults, and one that is not noticed would spoil all that follows.
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
    """The identity, forwards and backwards, each as an operation unknown to the compiler."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.ops.coopetition.fusion_barrier(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing is kept for the backward pass."""

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:  # pyright: ignore
        return torch.ops.coopetition.fusion_barrier(slope)


def fusion_barrier(x: Tensor) -> Tensor:
    """A copy of x; what is computed before it and after it is compiled separately.

    Where torch 2.13 fuses operations of many layers (from three with MLPs or five without, on a
    CPU, with vector instructions), it gives wrong gradients for the first ones.
    """
    return _FusionBarrier.apply(x)  # pyright: ignore


class GraphReplay:
    """A function of tensors that changes others in place, captured once and replayed (CUDA).

    The first calls run as they are, on a side stream, so that libraries can set themselves up.
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
            self._call_aside(inputs)
            return
        if not self.inputs:
            self.inputs = tuple(each.clone() for each in inputs)
            with torch.cuda.graph(self.graph):  # records, does not run
                self.function(*self.inputs)
        for kept, value in zip(self.inputs, inputs, strict=True):
            kept.copy_(value)
        self.graph.replay()

    def _call_aside(self, inputs: tuple[Tensor, ...]) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)


Named = dict[str, Tensor]
Gradients = Callable[..., tuple[Named, Tensor, Named]]

# of a gradient: compilers reorder sums (4e-6 was seen in float32), half precision rounds to 0.004
MOST_ERROR: dict[Precision, float] = {
    "float32": 1e-3,
    "float64": 1e-3,
    "tf32": 0.05,
    "bfloat16": 0.05,
}
NEGLIGIBLE = 0.01  # the largest gradient's share that a gradient may be nothing but rounding of
ROUNDING = 1e-6  # of a float32, after some operations


class NotCompiled(UserError):
    """The step cannot be compiled, or what is compiled is not the plain step."""


class CompiledStep:
    """Gradients and update, each compiled.

    Apart: compiled as one by torch 2.13, some gradients read what is updated already.

    Parameters
    ----------
    gradients : a method of (features, labels, target) that gives gradients by name, the losses
        and statistics by name
    update : a method of these and the step numbers that changes `state` in place
    state : all that `update` changes, by name
    """

    def __init__(
        self,
        gradients: Gradients,
        update: Callable[..., None],
        state: Named,
        precision: Precision,
    ) -> None:
        self._plain = gradients, update
        self._gradients, self._update = _compiled(gradients), _compiled(update)
        self._state = state
        self._most_error = MOST_ERROR[precision]
        self._checked = False

    def __call__(self, features: Tensor, labels: Tensor, target: Tensor, numbers: Tensor) -> None:
        """One step; the first raises `NotCompiled` if it cannot be compiled, or is
        not the plain one; the state is then as it was.
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
        before = _copies(self._state)
        plain, compiled = (
            self._updated(update, expected, numbers, before)
            for update in (plain_update, partial(_first_call, self._update))
        )
        _check_update(compiled, plain, before)

    def _updated(
        self,
        update: Callable[..., None],
        gradients: tuple[Named, Tensor, Named],
        numbers: Tensor,
        before: Named,
    ) -> Named:
        """The state after an update of it, which is undone."""
        slopes, loss, statistics = gradients
        try:
            update(dict(slopes), loss, statistics, numbers)
            return _copies(self._state)
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
            limit = self._most_error * (_norms(slope) + negligible)
            _check_same(name, found[0][name], slope, limit)
        others = {"loss": found[1]} | found[2]
        for name, value in ({"loss": loss} | statistics).items():
            _check_same(name, others[name], value, self._most_error * _norms(value))


def _check_update(found: Named, expected: Named, before: Named) -> None:
    """Compare what updates by the same gradients make of the same state."""
    for name, value in expected.items():
        change = _norms(value.double() - before[name].double())
        limit = MOST_ERROR["float32"] * change + ROUNDING * _norms(value)
        _check_same(name, found[name], value, limit)


def _check_same(name: str, found: Tensor, expected: Tensor, limits: Tensor) -> None:
    """Compare each run's; those that diverge do so compiled or not."""
    errors = _norms(found.double() - expected.double())
    wrong = _norms(expected).isfinite() & ~(errors <= limits)  # also where one is not a number
    if wrong.any():
        raise NotCompiled(
            f"the compiled step differs from the plain one in {name} by {errors[wrong][0]:.2g} (a "
            "fault of torch.compile); use --execution eager"
        )


def _norms(value: Tensor) -> Tensor:
    """Size of each run's part of a tensor (R, ...); of what all share, one."""
    return value.double().reshape(len(value) if value.dim() else 1, -1).norm(dim=1)


def _first_call(function: Callable[..., Any], *inputs: Any) -> Any:
    """The call that compiles."""
    try:
        return function(*inputs)
    # what torch's compilers raise; OSError: no room for what they write, or no process to be had
    except (RuntimeError, OSError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise  # of the step itself, which a plain one would not fit either
        first_line = str(error).partition("\n")[0]
        raise NotCompiled(
            f"the step could not be compiled ({first_line}); use --execution eager"
        ) from error


def _copies(tensors: Named) -> Named:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # a train state's tensors stay what they are, so checking them before each step is for nothing
    unguarded = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
    copy = _with_own_code(function)
    return torch.compile(copy, fullgraph=True, dynamic=False, options=unguarded)  # pyright: ignore


def _with_own_code(method: Any) -> Callable[..., Any]:
    """The method with a code object of its own, for which torch counts recompilations (8 at most).

    So that one process can compile for any number of train states.
    """
    function = method.__func__
    copy = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    return MethodType(copy, method.__self__)
