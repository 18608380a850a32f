"""The transformer as functions of named parameters, every one with a leading `run` axis.

Shapes of one run (N labels, D features, d = d_model, H heads, h = d_head, m = d_mlp, C pairs in
context; T = 2 C + 1 tokens).  A model has those that its config asks for, in this order.  Weights
from elsewhere, in a .safetensors file under these names, are taken over by `--start.path FILE`.

| name                      | shape   | what                                                  |
|---------------------------|---------|-------------------------------------------------------|
| W_E, b_E                  | D d, 1 d| exemplar embedding: `x W + b`                         |
| encoder.*                 |         | or a ResNet, see `model.resnet`                       |
| W_pos                     | T 1 d   | learned positions                                     |
| blocks.l.ln_w, ln_b       | 1 d     | layer norm before attention                           |
| blocks.l.W_QKV, b_QKV     | 3 H h d, 3 H h 1 | queries, keys, values: `W x + b`             |
| blocks.l.W_O, b_O         | (H h) d, 1 d | attention's output: `z W + b`, added to the residual |
| blocks.l.ln_mlp_w, ln_mlp_b | 1 d   | layer norm before the MLP                             |
| blocks.l.W_in, b_in       | d m, 1 m| MLP: `gelu(x W_in + b_in) W_out + b_out` (tanh form),  |
| blocks.l.W_out, b_out     | m d, 1 d| added to the residual                                 |
| ln_final_w, ln_final_b    | 1 d     | layer norm before unembedding                         |
| W_L                       | N d     | label embedding                                       |
| W_U, b_U                  | d N, 1 N| unembedding                                           |

Inside, tokens come first and the batch last, so that attention over a handful of tokens is
elementwise arithmetic on long contiguous vectors: several times faster than tiny matrix products.
The last layer and the unembedding are computed for the query alone, since only it has a loss.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.config import ModelConfig
from transformer.model.positions import rotate, sinusoids
from transformer.model.resnet import resnet, resnet_shapes, statistics_shapes

Parameters = dict[str, Tensor]
Tap = Callable[[str, Tensor], Tensor]
Shapes = dict[str, tuple[int, ...]]

LABEL_STD = 0.02  # of the label embedding, as in the papers
N_SLOTS = 32  # the papers' learned positions are a linear map of 32 slots
TRUNCATION = 0.87962566103423978  # standard deviation of a unit normal that is cut at 2


def parameter_shapes(
    config: ModelConfig, *, context: int, d_features: int, n_labels: int
) -> Shapes:
    """Shape of each trained parameter of one run, in order."""
    d, m, heads, d_head = config.d_model, config.d_mlp, config.n_heads, config.d_head
    shapes: Shapes = {"W_E": (d_features, d), "b_E": (1, d)}
    if config.encoder == "resnet":
        shapes = resnet_shapes(d)
    shapes["W_pos"] = (2 * context + 1, 1, d)
    for layer in range(config.n_layers):
        block: Shapes = {
            "ln_w": (1, d),
            "ln_b": (1, d),
            "W_QKV": (3, heads, d_head, d),
            "b_QKV": (3, heads, d_head, 1),
            "W_O": (d, d),
            "b_O": (1, d),
        }
        if m:
            block |= {"ln_mlp_w": (1, d), "ln_mlp_b": (1, d)}
            block |= {"W_in": (d, m), "b_in": (1, m), "W_out": (m, d), "b_out": (1, d)}
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    shapes |= {"ln_final_w": (1, d), "ln_final_b": (1, d)}
    shapes |= {"W_L": (n_labels, d), "W_U": (d, n_labels), "b_U": (1, n_labels)}
    return {name: shape for name, shape in shapes.items() if _is_used(config, name)}


def _is_used(config: ModelConfig, name: str) -> bool:
    kind = name.rsplit(".", 1)[-1]
    if kind == "W_pos":
        return config.positions == "learned"
    if kind in ("b_QKV", "b_O"):
        return config.attention_bias
    if kind in ("b_E", "b_in", "b_out", "b_U"):
        return config.bias
    return config.norm or not kind.startswith("ln_")


def running_shapes(config: ModelConfig) -> Shapes:
    """Shape of each running statistic, which is state but not trained."""
    return statistics_shapes(config.d_model) if config.encoder == "resnet" else {}


def initialise(config: ModelConfig, shapes: Shapes, seed: int) -> Parameters:
    """Draw one run's parameters: truncated normals, zero biases, unit scales; float32.

    Normals of standard deviation 1/sqrt(inputs), but 0.02 for the label embedding, cut at two
    deviations (which leaves 0.88 of them); learned positions count as a map of 32 inputs.  With
    `initialiser="paper"` the normals are widened by that 0.88, but for the label embedding, and
    positions are uniform in +-1/sqrt(32), as in the papers' code.  The draw does not depend on the
    device or precision.
    """
    generator = torch.Generator().manual_seed(seed)
    widen = 1 / TRUNCATION if config.initialiser == "paper" else 1.0
    parameters = {}
    for name, shape in shapes.items():
        value = torch.empty(shape)
        kind = name.rsplit(".", 1)[-1]
        if kind == "W_pos" and config.initialiser == "paper":
            bound = N_SLOTS**-0.5
            value.uniform_(-bound, bound, generator=generator)
        elif kind.startswith("W"):
            std = LABEL_STD if kind == "W_L" else widen * _n_inputs(kind, shape) ** -0.5
            torch.nn.init.trunc_normal_(value, 0, std, -2 * std, 2 * std, generator=generator)
        else:
            value.fill_(1 if _starts_at_one(kind) else 0)
        parameters[name] = value
    return parameters


def _n_inputs(kind: str, shape: tuple[int, ...]) -> int:
    """How many numbers an output of a weight sums."""
    if kind == "W_pos":
        return N_SLOTS
    if kind == "W_QKV":
        return shape[-1]
    return math.prod(shape[1:]) if len(shape) == 4 else shape[0]  # a convolution's filter


def _starts_at_one(kind: str) -> bool:
    is_scale = kind.startswith(("ln_", "norm")) and kind.endswith("_w")
    return kind.endswith("_var") or (is_scale and kind != "norm_3_w")  # a block starts as identity


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
    return unembed(parameters, final_residual(parameters, config, items, labels, tap))


def unembed(parameters: Parameters, final: Tensor) -> Tensor:
    """Logits (R, B, N) of the query's final residual (R, B, d)."""
    return _linear(parameters, "W_U", "b_U", final)


def final_residual(
    parameters: Parameters,
    config: ModelConfig,
    items: Tensor,
    labels: Tensor,
    tap: Tap = unchanged,
) -> Tensor:
    """The query's final residual (R, B, d), normalised: all of the model but the unembedding.

    Parameters
    ----------
    tap : called with the name and value of each activation; what it returns is used instead.
        Names: `embed`, `blocks.l.q`, `.k`, `.v` (R, H, h, T, B), `.attn_scores` and `.pattern`
        (R, H, query, key, B), `.z` (R, H, h, query, B), `.mlp` (R, query x B, m), `.resid_post`,
        `ln_final`.  In the last layer the query axis has length 1.
    """
    runs = torch.arange(len(items), device=items.device).view(-1, 1, 1)
    label_rows = parameters["W_L"][runs, labels]
    pairs = torch.stack([items[:, :-1], label_rows], 2).flatten(1, 2)
    tokens = torch.cat([pairs, items[:, -1:]], 1)
    n_tokens, batch = tokens.shape[1:3]
    if config.positions == "learned":
        tokens = tokens + parameters["W_pos"]
    elif config.positions == "sinusoidal":
        tokens = tokens + sinusoids(n_tokens, config.d_model, config.max_time, tokens)
    resid = tap("embed", tokens.flatten(1, 2))
    future = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=items.device).triu(1)
    for layer in range(config.n_layers):
        block = f"blocks.{layer}."
        only_query = layer == config.n_layers - 1
        hidden = None if only_query else future.unsqueeze(-1)  # the query, being last, sees all
        x = layer_norm(parameters, block + "ln_", resid)
        z = _attention(parameters, config, block, x, batch, hidden, tap)
        if only_query:
            resid = resid[:, -batch:]
        z = z.flatten(1, 2).flatten(2).mT
        resid = resid + _linear(parameters, block + "W_O", block + "b_O", z)
        if config.d_mlp:
            resid = resid + _mlp(parameters, block, resid, tap)
        resid = tap(block + "resid_post", resid)
    return tap("ln_final", layer_norm(parameters, "ln_final_", resid))


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
    heads, d_head = config.n_heads, config.d_head
    weights = parameters[block + "W_QKV"].flatten(1, 3)
    qkv = torch.bmm(weights, x.mT)
    if block + "b_QKV" in parameters:
        qkv = qkv + parameters[block + "b_QKV"].flatten(1, 3)
    qkv = qkv.view(x.shape[0], 3, heads, d_head, -1, batch)
    q, k, v = (tap(block + name, part) for name, part in zip("qkv", qkv.unbind(1), strict=True))
    if hidden is None:
        q = q[..., -1:, :]
    if config.positions == "rotary":
        q = rotate(q, config.max_time, first=k.shape[-2] - q.shape[-2])
        k = rotate(k, config.max_time)
    scores = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(2) * (1 / math.sqrt(d_head))
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
