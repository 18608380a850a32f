"""Update rules: what a step does to one parameter of all runs, given its gradient.

Each is plain arithmetic in place on tensors with a leading run axis, so that the whole training
step can be compiled into a few loops, or captured as a GPU graph.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from transformer.config import OptimConfig

Moments = dict[str, Tensor]
Rule = Callable[[OptimConfig, Tensor, Tensor, Moments, Tensor], None]


def step_numbers(optim: OptimConfig, step: int) -> tuple[float, float, float]:
    """What of a step (the first is 1) its number decides: the rate, and Adam's two corrections.

    A moment that decays by beta lacks beta ** step of its mean; a correction divides by the rest.
    """
    return optim.rate(step), 1 / (1 - optim.beta1**step), 1 / (1 - optim.beta2**step)


def adam(
    optim: OptimConfig, value: Tensor, gradient: Tensor, moments: Moments, numbers: Tensor
) -> None:
    """Adam (Kingma and Ba 2015), with decoupled decay if there is any (Loshchilov and Hutter 2019).

    `value`, `gradient` and the moments `mean` and `square` are (R, ...), `numbers` are (3, R), the
    `step_numbers` of each run.
    """
    rate, of_mean, of_square = (over_run(each, value) for each in numbers)
    mean, square = moments["mean"], moments["square"]
    if optim.weight_decay:
        value.mul_(1 - rate * optim.weight_decay)
    mean.lerp_(gradient, 1 - optim.beta1)
    square.mul_(optim.beta2).addcmul_(gradient, gradient, value=1 - optim.beta2)
    value.sub_(rate * of_mean * mean / ((square * of_square).sqrt() + optim.epsilon))


def sgd(
    optim: OptimConfig, value: Tensor, gradient: Tensor, moments: Moments, numbers: Tensor
) -> None:
    """Gradient descent, with momentum if there is any: the moment `velocity` sums gradients."""
    if optim.momentum:
        gradient = moments["velocity"].mul_(optim.momentum).add_(gradient)
    value.sub_(over_run(numbers[0], value) * gradient)


def moment_names(optim: OptimConfig) -> tuple[str, ...]:
    """The moments that an optimiser keeps of every parameter."""
    if optim.algorithm == "sgd":
        return ("velocity",) if optim.momentum else ()
    return ("mean", "square")


RULES: dict[str, Rule] = {"adam": adam, "adamw": adam, "sgd": sgd}


def penalty_slope(value: Tensor, squared: bool) -> Tensor:
    """Gradient of half the sum of squares of a parameter (R, ...), or else of its norm (0 at 0)."""
    if squared:
        return value
    norm = value.flatten(1).norm(dim=1).clamp_min(torch.finfo(value.dtype).tiny ** 0.5)
    return value / over_run(norm, value)


def clip_scale(gradients: list[Tensor], limit: Tensor) -> Tensor:
    """Factor (R,) that brings each run's gradient to a norm of at most its limit (R,)."""
    norm = torch.zeros_like(limit)
    for gradient in gradients:
        norm = norm + gradient.flatten(1).square().sum(1)
    norm = norm.sqrt()
    return torch.where(norm > limit, limit / norm, 1)  # also where both are infinite


def over_run(each: Tensor, like: Tensor) -> Tensor:
    """One number a run (R,) in a shape that broadcasts over (R, ...)."""
    return each.view(-1, *[1] * (like.dim() - 1))
