"""Check of a compiled or captured training step against the plain one, before it is used.

Compilers have faults, and a graph that is captured on the wrong device is empty.  A fault that went
unnoticed would spoil all that follows.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from coopetition.tools.console import print_progress
from coopetition.tools.errors import UserError
from transformer.config.run import Precision

Named = dict[str, Tensor]
Step = Callable[..., None]

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
RATE = 0.1  # learning rate of the checked step: the change of a parameter exceeds its rounding
SQUARE = "square"  # the moment by whose root Adam divides


class UnusableExecution(UserError):
    """A step cannot be compiled or captured, or differs from the plain one."""


class StepState(NamedTuple):
    """All tensors that a step changes."""

    parameters: Named
    """Trained parameters (R, ...)."""
    statistics: Named
    """Running statistics (R, ...)."""
    moments: dict[str, Named]
    """Moments of the optimiser, by their own name and the parameter's."""
    totals: Named
    """Sums and counters, of each run or of all."""

    def tensors(self) -> Named:
        """Return all tensors by name."""
        tensors = self.parameters | self.statistics
        for moment, values in self.moments.items():
            tensors |= {f"optimiser.{moment}.{name}": value for name, value in values.items()}
        return tensors | self.totals

    def copy(self) -> "StepState":
        """Return a copy in main memory: the check needs no further memory of a device."""

        def of(tensors: Named) -> Named:
            return {name: each.to("cpu", copy=True) for name, each in tensors.items()}

        moments = {name: of(each) for name, each in self.moments.items()}
        return StepState(of(self.parameters), of(self.statistics), moments, of(self.totals))

    def restore(self, kept: "StepState") -> None:
        """Take over the values of a copy."""
        values = kept.tensors()
        for name, tensor in self.tensors().items():
            tensor.copy_(values[name])


class CheckedStep:
    """A step that is compared with the plain one when it is first called.

    Parameters
    ----------
    execution : name of the execution, for messages
    step : the step to be checked
    plain : the same step, executed eagerly
    state : what both change
    warm_up : calls after which `step` does what it does from then on
    """

    def __init__(
        self,
        execution: str,
        step: Step,
        plain: Step,
        state: StepState,
        precision: Precision,
        warm_up: int = 0,
    ) -> None:
        self._execution, self._step, self._plain = execution, step, plain
        self._state, self._max_error, self._warm_up = state, MAX_ERROR[precision], warm_up
        self._is_checked = False

    def __call__(self, features: Tensor, labels: Tensor, target: Tensor, numbers: Tensor) -> None:
        """Make one step.

        The first raises `UnusableExecution`, and leaves the state as it was, if the step fails,
        trains nothing, or differs from the plain one.
        """
        if not self._is_checked:
            self._check((features, labels, target), numbers)
            self._is_checked = True
        self._step(features, labels, target, numbers)

    def _check(self, batch: tuple[Tensor, ...], numbers: Tensor) -> None:
        if "compiled" in self._execution:
            print_progress("compiling the step: half a minute, deep models longer")
        numbers = numbers.clone()
        numbers[0] = RATE
        before = self._state.copy()
        try:
            self._prepare_state(batch, numbers, before)
            start = self._state.copy()
            self._plain(*batch, numbers)
            expected = self._state.copy()
            other = tuple(each.flip(-1) for each in batch)  # a graph must read its inputs anew
            for _ in range(self._warm_up):
                self._state.restore(start)
                self._call(*other, numbers)
            self._state.restore(start)
            self._call(*batch, numbers)
            found = self._state.copy()
        finally:
            self._state.restore(before)
        self._check_movement(start, expected, found)
        self._check_values(start, expected, found)

    def _prepare_state(self, batch: tuple[Tensor, ...], numbers: Tensor, before: StepState) -> None:
        """Set moments and totals so that rounding of a gradient stays small in the update.

        Adam divides a gradient by its own size, also one that is mere rounding.  Here the moment of
        squares is the mean over a tensor, and at least that of a negligible gradient.
        """
        state = self._state
        for tensors in (*state.moments.values(), state.totals):
            for tensor in tensors.values():
                tensor.zero_()
        self._plain(*batch, numbers)
        squares = state.moments.get(SQUARE, {})
        sums = {name: square.flatten(1).sum(1) for name, square in squares.items()}
        state.restore(before)
        for tensors in (*state.moments.values(), state.totals):
            for tensor in tensors.values():
                tensor.zero_()
        least = NEGLIGIBLE**2 * _largest(list(sums.values())) if sums else 0
        for name, square in squares.items():
            mean = (sums[name] + least) * (len(square) / square.numel())
            square.add_(mean.view(-1, *[1] * (square.dim() - 1)))

    def _call(self, *inputs: Tensor) -> None:
        """Make a call that may compile or capture; a failure raises `UnusableExecution`."""
        try:
            self._step(*inputs)
        # torch's compilers and graphs raise these; OSError means no disk space or no process
        except (RuntimeError, OSError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise  # the plain step would not fit either
            first_line = str(error).partition("\n")[0]
            done = "compiled" if "compiled" in self._execution else "captured as a graph"
            raise UnusableExecution(
                f"the step could not be {done} ({first_line}); use --execution eager"
            ) from error

    def _check_movement(self, start: StepState, expected: StepState, found: StepState) -> None:
        """Refuse a step that leaves the parameters of a run as they are, if the plain one does not.

        It would otherwise seem right where changes are small.
        """

        def moves(after: StepState) -> Tensor:
            pairs = ((after.parameters[name], value) for name, value in start.parameters.items())
            return torch.stack([(a != b).flatten(1).any(1) for a, b in pairs]).any(0)

        if (moves(expected) & ~moves(found)).any():
            raise UnusableExecution(
                f"a {self._execution} step trains nothing: it leaves the parameters as they are; "
                "use --execution eager"
            )

    def _check_values(self, start: StepState, expected: StepState, found: StepState) -> None:
        """Compare what a step changes, by the size of the change."""
        own, before, after = found.tensors(), start.tensors(), expected.tensors()
        floors = _floors(start, expected)
        for name, value in after.items():
            change = _norms(value.double() - before[name].double())
            max_error = self._max_error * (4 if name.startswith(f"optimiser.{SQUARE}.") else 1)
            limits = max_error * (change + floors[name]) + ROUNDING * _norms(value)
            errors = _norms(own[name].double() - value.double())
            # also where one is not a number; a run that diverges does so in every execution
            wrong = _norms(value).isfinite() & ~(errors <= limits)
            if wrong.any():
                raise UnusableExecution(
                    f"a {self._execution} step differs from the plain one in {name} by "
                    f"{errors[wrong][0]:.2g} (a fault of torch); use --execution eager"
                )


def _floors(start: StepState, expected: StepState) -> Named:
    """Return by name the change of each run below which a change may be mere rounding.

    It is a share of the largest change among tensors of one kind.  Adam makes all changes about as
    large, also those by negligible gradients: then it is a change of the usual size per number.
    """
    floors = {name: _norms(value) for name, value in expected.statistics.items()}
    floors |= {name: torch.zeros(1) for name in expected.totals}
    groups = {"": (start.parameters, expected.parameters)}
    groups |= {m: (start.moments[m], expected.moments[m]) for m in start.moments}
    for moment, (before, after) in groups.items():
        changes = {n: _norms(after[n].double() - each.double()) for n, each in before.items()}
        prefix = f"optimiser.{moment}." if moment else ""
        if not moment and SQUARE in start.moments:
            roots = {name: (each.numel() / len(each)) ** 0.5 for name, each in before.items()}
            usual = _largest([changes[name] / root for name, root in roots.items()])
            floors |= {name: usual * root for name, root in roots.items()}
        else:
            share = NEGLIGIBLE**2 if moment == SQUARE else NEGLIGIBLE
            largest = _largest(list(changes.values()))
            floors |= {prefix + name: share * largest for name in before}
    return floors


def _largest(each: list[Tensor]) -> Tensor:
    """Return the largest finite number of each run, of tensors (R,)."""
    return torch.stack(each).nan_to_num(0, 0).amax(0)


def _norms(value: Tensor) -> Tensor:
    """Return the norm of each run's part of a tensor (R, ...), or of a scalar."""
    return value.double().reshape(len(value) if value.dim() else 1, -1).norm(dim=1)
