"""An identity that a compiler cannot look through, to keep the parts of a model apart."""

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
