"""The forward pass: the transformer as functions of named parameters, each with a run axis.

Inside, tokens come first and the batch last, so that attention over a handful of tokens is
elementwise arithmetic on long contiguous vectors: several times faster than tiny matrix products.
The last layer and the unembedding are computed for the query alone, since only it has a loss; with
`every_row`, the last layer is computed for all tokens, to be looked at.

A *tap* is called with the name and value of each activation, and what it returns is used instead.
`transformer.config.sites` lists their names and shapes; here they have a run axis R before these.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.config import ModelConfig
from transformer.model.parameters import Parameters
from transformer.model.resnet import resnet

Tap = Callable[[str, Tensor], Tensor]


def unchanged(name: str, value: Tensor) -> Tensor:
    """Return every activation as it is: the tap that changes nothing."""
    return value


class Batch(NamedTuple):
    """Sequences of R runs, ready for a pass."""

    features: Tensor
    """(R, C + 1, B, D), the query's last."""
    items: Tensor
    """(R, C + 1, B, d): the features, encoded."""
    labels: Tensor
    """(R, C, B), of the context."""
    target: Tensor | None
    """(R, B): the query's label, if it is known."""


def angles(n_tokens: int, n_pairs: int, max_time: float, like: Tensor) -> Tensor:
    """Return the angle t * max_time ** (-i / n_pairs) of token t and pair i (n_tokens, n_pairs).

    It has the precision of `like`, but at least float32: half precision would blur the positions.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    i = torch.arange(n_pairs, dtype=dtype, device=like.device)
    t = torch.arange(n_tokens, dtype=dtype, device=like.device)
    return t[:, None] * max_time ** (-i / n_pairs)


def sinusoids(n_tokens: int, d_model: int, max_time: float, like: Tensor) -> Tensor:
    """Return sinusoidal positions (n_tokens, 1, d_model): sines of all pairs, then cosines.

    They are those of Chan et al. 2022, whose time constant is 30 and not 10,000.
    """
    angle = angles(n_tokens, d_model // 2, max_time, like)
    return torch.cat([angle.sin(), angle.cos()], 1).unsqueeze(1)


def rotate(x: Tensor, max_time: float, first: int = 0) -> Tensor:
    """Rotate queries or keys (..., h, T, B) of tokens from `first` by position (Su et al. 2021).

    The pair (i, i + h / 2) of token t is rotated by t * max_time ** (-2 i / h), so that a product
    of query and key depends on the distance of their tokens alone.
    """
    half = x.shape[-3] // 2
    angle = angles(first + x.shape[-2], half, max_time, x)[first:].T.unsqueeze(-1)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.unflatten(-3, (2, half)).unbind(-4)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -4).flatten(-4, -3)


def encode(
    parameters: Parameters, config: ModelConfig, features: Tensor, *, training: bool
) -> tuple[Tensor, Parameters]:
    """Return tokens (R, C + 1, B, d) of features (R, C + 1, B, D), and the batch's statistics."""
    items = features.flatten(1, 2)
    if config.encoder == "resnet":
        tokens, statistics = resnet(parameters, items, config.d_model, training=training)
    else:
        tokens, statistics = _linear(parameters, "W_E", "b_E", items), {}
    return tokens.view(*features.shape[:-1], config.d_model), statistics


def make_batch(
    parameters: Parameters,
    config: ModelConfig,
    features: Tensor,
    labels: Tensor,
    target: Tensor | None,
) -> Batch:
    """Return sequences with their exemplars encoded, as in evaluation."""
    items, _ = encode(parameters, config, features, training=False)
    return Batch(features, items, labels, target)


def logits_of_items(
    parameters: Parameters,
    config: ModelConfig,
    items: Tensor,
    labels: Tensor,
    tap: Tap = unchanged,
) -> Tensor:
    """Return the query's logits (R, B, N) for encoded exemplars (R, C + 1, B, d) and labels."""
    final = final_residual(parameters, config, items, labels, tap)
    return tap("logits", unembed(parameters, final))


def unembed(parameters: Parameters, final: Tensor) -> Tensor:
    """Return logits (R, B, N) of the query's final residual (R, B, d)."""
    return _linear(parameters, "W_U", "b_U", final)


def final_residual(
    parameters: Parameters,
    config: ModelConfig,
    items: Tensor,
    labels: Tensor,
    tap: Tap = unchanged,
    *,
    every_row: bool = False,
) -> Tensor:
    """Return the query's normalised final residual (R, B, d): the model without unembedding."""
    runs = torch.arange(len(items), device=items.device).view(-1, 1, 1)
    label_rows = parameters["W_L"][runs, labels]
    pairs = torch.stack([items[:, :-1], label_rows], 2).flatten(1, 2)
    tokens = tap("embed", torch.cat([pairs, items[:, -1:]], 1))
    n_tokens, batch = tokens.shape[1:3]
    if config.positions == "learned":
        tokens = tokens + parameters["W_pos"]
    elif config.positions == "sinusoidal":
        tokens = tokens + sinusoids(n_tokens, config.d_model, config.max_time, tokens)
    resid = tokens.flatten(1, 2)
    future = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=items.device).triu(1)
    for layer in range(config.n_layers):
        block = f"blocks.{layer}."
        only_query = layer == config.n_layers - 1 and not every_row
        hidden = None if only_query else future.unsqueeze(-1)  # the query, being last, sees all
        resid = tap(block + "resid_pre", resid)
        x = layer_norm(parameters, block + "ln_", resid)
        z = _attention(parameters, config, block, x, batch, hidden, tap)
        if only_query:
            resid = resid[:, -batch:]
        z = z.flatten(1, 2).flatten(2).mT
        attn_out = _linear(parameters, block + "W_O", block + "b_O", z)
        resid = resid + tap(block + "attn_out", attn_out)
        if config.d_mlp:
            resid = resid + _mlp(parameters, block, resid, tap)
        resid = tap(block + "resid_post", resid)
    return tap("ln_final", layer_norm(parameters, "ln_final_", resid[:, -batch:]))


def _linear(parameters: Parameters, weight: str, bias: str, x: Tensor) -> Tensor:
    """Return `x W + b` for each run, without b where the model has none."""
    if bias in parameters:
        return torch.baddbmm(parameters[bias], x, parameters[weight])
    return torch.bmm(x, parameters[weight])


def layer_norm(parameters: Parameters, prefix: str, x: Tensor) -> Tensor:
    """Normalise the last axis with each run's scale and shift, if the model has layer norms."""
    if prefix + "w" not in parameters:
        return x
    normal = F.layer_norm(x, x.shape[-1:])
    return torch.addcmul(parameters[prefix + "b"], normal, parameters[prefix + "w"])


def queries_keys_values(
    parameters: Parameters, config: ModelConfig, block: str, x: Tensor, batch: int
) -> tuple[Tensor, ...]:
    """Return queries, keys and values (R, H, h, T, B) of a layer's normalised input x."""
    qkv = torch.bmm(parameters[block + "W_QKV"].flatten(1, 3), x.mT)
    if block + "b_QKV" in parameters:
        qkv = qkv + parameters[block + "b_QKV"].flatten(1, 3)
    return qkv.view(x.shape[0], 3, config.n_heads, config.d_head, -1, batch).unbind(1)


def _attention(
    parameters: Parameters,
    config: ModelConfig,
    block: str,
    x: Tensor,
    batch: int,
    hidden: Tensor | None,
    tap: Tap,
) -> Tensor:
    """Return mixed values (R, H, h, Q, B) of a layer; without `hidden`, of the query alone."""
    qkv = queries_keys_values(parameters, config, block, x, batch)
    q, k, v = (tap(block + name, part) for name, part in zip("qkv", qkv, strict=True))
    if hidden is None:
        q = q[..., -1:, :]
    if config.positions == "rotary":
        q = rotate(q, config.max_time, first=k.shape[-2] - q.shape[-2])
        k = rotate(k, config.max_time)
    scores = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(2) * (1 / math.sqrt(config.d_head))
    if hidden is not None:
        scores = scores.masked_fill(hidden, -math.inf)
    pattern = tap(block + "pattern", torch.softmax(tap(block + "attn_scores", scores), -2))
    return tap(block + "z", (pattern.unsqueeze(2) * v.unsqueeze(-3)).sum(-2))


def _mlp(parameters: Parameters, block: str, resid: Tensor, tap: Tap) -> Tensor:
    x = layer_norm(parameters, block + "ln_mlp_", resid)
    inner = _linear(parameters, block + "W_in", block + "b_in", x)
    inner = tap(block + "mlp", F.gelu(inner, approximate="tanh"))
    return _linear(parameters, block + "W_out", block + "b_out", inner)


def cross_entropy(z: Tensor, target: Tensor) -> Tensor:
    """Return each run's mean loss (R,) in nats, of logits (R, B, N) and targets (R, B)."""
    losses = F.cross_entropy(z.flatten(0, 1), target.flatten(), reduction="none")
    return losses.view(target.shape).mean(-1)
