"""Update rules of optimisers and norms of parameters, for tensors with a leading run axis."""

from collections.abc import Callable

import torch
from torch import Tensor

from transformer.config import OptimConfig

Moments = dict[str, Tensor]
Numbers = tuple[Tensor, Tensor, Tensor]  # `step_numbers`, each (R, 1) or (R, P)
Rule = Callable[[OptimConfig, Tensor, Tensor, Moments, Numbers], None]


def step_numbers(optim: OptimConfig, step: int) -> tuple[float, float, float]:
    """Return the learning rate of a step (the first is 1), and Adam's two corrections.

    A moment that decays by beta lacks beta ** step of its mean; a correction divides by the rest.
    """
    return optim.rate(step), 1 / (1 - optim.beta1**step), 1 / (1 - optim.beta2**step)


def adam(
    optim: OptimConfig, value: Tensor, gradient: Tensor, moments: Moments, numbers: Numbers
) -> None:
    """Update by Adam (Kingma and Ba 2015), or AdamW (Loshchilov and Hutter 2019) with weight decay.

    `value`, `gradient` and the moments `mean` and `square` are (R, P).
    """
    rate, of_mean, of_square = numbers
    mean, square = moments["mean"], moments["square"]
    if optim.weight_decay:
        value.mul_(1 - rate * optim.weight_decay)
    mean.lerp_(gradient, 1 - optim.beta1)
    square.mul_(optim.beta2).addcmul_(gradient, gradient, value=1 - optim.beta2)
    scale = (square * of_square).sqrt_().add_(optim.epsilon)  # in place: tensors may be large
    value.sub_((rate * of_mean * mean).div_(scale))


def sgd(
    optim: OptimConfig, value: Tensor, gradient: Tensor, moments: Moments, numbers: Numbers
) -> None:
    """Update by gradient descent; with momentum the moment `velocity` sums gradients."""
    if optim.momentum:
        gradient = moments["velocity"].mul_(optim.momentum).add_(gradient)
    value.sub_(numbers[0] * gradient)


def moment_names(optim: OptimConfig) -> tuple[str, ...]:
    """Return the names of the moments that an optimiser keeps of every parameter."""
    if optim.algorithm == "sgd":
        return ("velocity",) if optim.momentum else ()
    return ("mean", "square")


RULES: dict[str, Rule] = {"adam": adam, "adamw": adam, "sgd": sgd}


def norm_slope(value: Tensor) -> Tensor:
    """Return the gradient of the norm of a parameter (R, ...); 0 where the norm is."""
    norm = value.flatten(1).norm(dim=1).clamp_min(torch.finfo(value.dtype).tiny ** 0.5)
    return value / broadcast_over_run(norm, value)


def clip_scale(gradients: list[Tensor], limit: Tensor) -> Tensor:
    """Return the factor (R,) that limits each run's gradient to a norm (R,)."""
    norm = torch.zeros_like(limit)
    for gradient in gradients:
        norm = norm + gradient.flatten(1).square().sum(1)
    norm = norm.sqrt()
    return torch.where(norm > limit, limit / norm, 1)  # also where both are infinite


def broadcast_over_run(each: Tensor, like: Tensor) -> Tensor:
    """Return one number per run (R,) in a shape that broadcasts over (R, ...)."""
    return each.view(-1, *[1] * (like.dim() - 1))
