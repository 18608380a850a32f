"""Positions that are not learned: sinusoids added to the tokens, rotations of queries and keys."""

import torch
from torch import Tensor


def angles(n_tokens: int, n_pairs: int, max_time: float, like: Tensor) -> Tensor:
    """Angle t * max_time ** (-i / n_pairs) of token t and pair i, (n_tokens, n_pairs).

    In the precision of `like`, but at least float32: half precision would blur the positions.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    i = torch.arange(n_pairs, dtype=dtype, device=like.device)
    t = torch.arange(n_tokens, dtype=dtype, device=like.device)
    return t[:, None] * max_time ** (-i / n_pairs)


def sinusoids(n_tokens: int, d_model: int, max_time: float, like: Tensor) -> Tensor:
    """Sinusoidal positions (n_tokens, 1, d_model): the sines of all pairs, then the cosines.

    As in Chan et al. 2022, with a time constant of 30 and not 10,000.
    """
    angle = angles(n_tokens, d_model // 2, max_time, like)
    return torch.cat([angle.sin(), angle.cos()], 1).unsqueeze(1)


def rotate(x: Tensor, max_time: float, first: int = 0) -> Tensor:
    """Rotary positions (Su et al. 2021) for queries or keys (..., h, T, B) of tokens from `first`.

    Turns the pair (i, i + h / 2) of token t by t * max_time ** (-2 i / h), so that a product of
    query and key depends on the distance of their tokens alone.
    """
    half = x.shape[-3] // 2
    angle = angles(first + x.shape[-2], half, max_time, x)[first:].T.unsqueeze(-1)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.unflatten(-3, (2, half)).unbind(-4)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -4).flatten(-4, -3)
