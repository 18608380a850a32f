"""Positions that are not learned: sinusoids added to the tokens, rotations of queries and keys.

The transformer as functions of named parameters, every one with a leading `run` axis.

Inside, tokens come first and the batch last, so that attention over a handful of tokens is
elementwise arithmetic on long contiguous vectors: several times faster than tiny matrix products.
The last layer and the unembedding are computed for the query alone, since only it has a loss; with
`every_row`, the last layer is computed for all tokens, to be looked at.

A *tap* is called with the name and value of each activation, and what it returns is used instead.
With R runs, T = 2 C + 1 tokens, Q queries (T, but 1 in the last layer), B sequences, N labels, and
H, h, d, m as in `model.parameters`:

| name                            | shape       | what                                             |
|---------------------------------|-------------|--------------------------------------------------|
| embed                           | R T B d     | tokens, without positions                        |
| blocks.l.resid_pre              | R (T B) d   | what the layer reads                             |
| blocks.l.q, .k, .v              | R H h T B   | before a rotary position turns q and k           |
| blocks.l.attn_scores, .pattern  | R H Q T B   | before and after the softmax over keys (axis T)  |
| blocks.l.z                      | R H h Q B   | values, mixed by the pattern                     |
| blocks.l.attn_out               | R (Q B) d   | what attention adds                              |
| blocks.l.mlp                    | R (Q B) m   | the MLP's hidden layer, after the GELU           |
| blocks.l.resid_post             | R (Q B) d   | what the layer leaves                            |
| ln_final                        | R B d       | the query's final residual, normalised           |
| logits                          | R B N       | the query's                                      |
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.config import ModelConfig
from transformer.model.parameters import Parameters
from transformer.model.resnet import resnet


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


Tap = Callable[[str, Tensor], Tensor]


def unchanged(name: str, value: Tensor) -> Tensor:
    """The tap that leaves every activation as it is."""
    return value


def encode(
    parameters: Parameters, config: ModelConfig, features: Tensor, *, training: bool
) -> tuple[Tensor, Parameters]:
    """Tokens (R, C + 1, B, d) of features (R, C + 1, B, D), and the batch's statistics if any."""
    items = features.flatten(1, 2)
    if config.encoder == "resnet":
        tokens, statistics = resnet(parameters, items, config.d_model, training=training)
    else:
        tokens, statistics = _linear(parameters, "W_E", "b_E", items), {}
    return tokens.view(*features.shape[:-1], config.d_model), statistics


def logits(
    parameters: Parameters,
    config: ModelConfig,
    features: Tensor,
    labels: Tensor,
    tap: Tap = unchanged,
) -> Tensor:
    """The query's logits (R, B, N) for features (R, C + 1, B, D) and context labels (R, C, B)."""
    items, _ = encode(parameters, config, features, training=False)
    return logits_of_items(parameters, config, items, labels, tap)


def logits_of_items(
    parameters: Parameters,
    config: ModelConfig,
    items: Tensor,
    labels: Tensor,
    tap: Tap = unchanged,
) -> Tensor:
    """The query's logits (R, B, N) for encoded exemplars (R, C + 1, B, d), the query's last."""
    return tap(
        "logits", unembed(parameters, final_residual(parameters, config, items, labels, tap))
    )


def unembed(parameters: Parameters, final: Tensor) -> Tensor:
    """Logits (R, B, N) of the query's final residual (R, B, d)."""
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
    """The query's final residual (R, B, d), normalised: all of the model but the unembedding."""
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
    """`x W + b` for each run, without b where the model has none."""
    if bias in parameters:
        return torch.baddbmm(parameters[bias], x, parameters[weight])
    return torch.bmm(x, parameters[weight])


def layer_norm(parameters: Parameters, prefix: str, x: Tensor) -> Tensor:
    """Layer norm over the last axis with each run's own scale and shift; none if it has none."""
    if prefix + "w" not in parameters:
        return x
    normal = F.layer_norm(x, x.shape[-1:])
    return torch.addcmul(parameters[prefix + "b"], normal, parameters[prefix + "w"])


def queries_keys_values(
    parameters: Parameters, config: ModelConfig, block: str, x: Tensor, batch: int
) -> tuple[Tensor, ...]:
    """Queries, keys and values (R, H, h, T, B) of a layer, from its normalised input x."""
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
    """Mixed values (R, H, h, query, B) of one attention layer; without `hidden`, the query's."""
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
    """Mean loss of each run (R,) in nats, from logits (R, B, N) and targets (R, B)."""
    losses = F.cross_entropy(z.flatten(0, 1), target.flatten(), reduction="none")
    return losses.view(target.shape).mean(-1)
