"""The transformer as functions of named parameters, every one with a leading `run` axis.

Shapes (R runs, N labels, D features, d = d_model, H heads, h = d_head, C pairs in context):

| name                  | shape             | what                                     |
|-----------------------|-------------------|------------------------------------------|
| W_E, b_E              | R D d, R 1 d      | exemplar embedding                       |
| W_pos                 | R T 1 d           | learned positions, T = 2 C + 1 tokens    |
| blocks.l.ln_w, ln_b   | R 1 d             | layer norm before attention              |
| blocks.l.W_QKV        | R 3 H h d         | queries, keys, values: `W x`             |
| blocks.l.W_O          | R (H h) d         | output: `x W`, added to the residual     |
| ln_final_w, ln_final_b| R 1 d             | layer norm before unembedding            |
| W_L                   | R N d             | label embedding                          |
| W_U, b_U              | R d N, R 1 N      | unembedding                              |

Inside, tokens come first and the batch last, so that attention over a handful of tokens is
elementwise arithmetic on long contiguous vectors: several times faster than tiny matrix products.
The last layer and the unembedding are computed for the query alone, since only it has a loss.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer.config import ModelConfig

Parameters = dict[str, Tensor]
Tap = Callable[[str, Tensor], Tensor]

LABEL_STD = 0.02  # of the label embedding, as in the paper
N_SLOTS = 32  # the paper's positions are a linear map of 32 slots
NOT_TRUNK = ("W_L", "W_U", "b_U")  # the parameters whose gradients the head knows in closed form


def parameter_shapes(
    config: ModelConfig, *, context: int, d_features: int, n_labels: int
) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter of one run, in order: the trunk's first."""
    d = config.d_model
    shapes: dict[str, tuple[int, ...]] = {
        "W_E": (d_features, d),
        "b_E": (1, d),
        "W_pos": (2 * context + 1, 1, d),
    }
    for layer in range(config.n_layers):
        shapes |= {
            f"blocks.{layer}.ln_w": (1, d),
            f"blocks.{layer}.ln_b": (1, d),
            f"blocks.{layer}.W_QKV": (3, config.n_heads, config.d_head, d),
            f"blocks.{layer}.W_O": (d, d),
        }
    shapes |= {"ln_final_w": (1, d), "ln_final_b": (1, d)}
    return shapes | {"W_L": (n_labels, d), "W_U": (d, n_labels), "b_U": (1, n_labels)}


def initialise(parameters: Parameters, run: int, seed: int) -> None:
    """Draw one run's parameters in place: truncated normals, zero biases, unit scales.

    Normals of standard deviation 1/sqrt(inputs), but 0.02 for the label embedding, cut at two
    deviations (which leaves 0.88 of them); the positions count as a map of 32 inputs.  The paper's
    code divides by that 0.88, but for the label embedding, and draws positions uniformly from
    +-1/sqrt(32).  The draw does not depend on the device.
    """
    generator = torch.Generator().manual_seed(seed)
    d_features, d_model = parameters["W_E"].shape[1:]
    special = {"W_E": d_features**-0.5, "W_pos": N_SLOTS**-0.5, "W_L": LABEL_STD}
    for name, stacked in parameters.items():
        kind = name.rsplit(".", 1)[-1]
        value = torch.empty(stacked.shape[1:])
        if kind.startswith("W"):  # W_QKV, W_O and W_U all read the residual stream
            std = special.get(kind, d_model**-0.5)
            torch.nn.init.trunc_normal_(value, 0, std, -2 * std, 2 * std, generator=generator)
        else:
            value.fill_(1 if kind in ("ln_w", "ln_final_w") else 0)
        stacked[run] = value


def unchanged(name: str, value: Tensor) -> Tensor:
    """The tap that leaves every activation as it is."""
    return value


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Layer norm over the last axis with each run's own scale and shift."""
    return torch.addcmul(bias, F.layer_norm(x, x.shape[-1:]), weight)


def trunk(
    parameters: Parameters,
    config: ModelConfig,
    features: Tensor,
    label_rows: Tensor,
    tap: Tap = unchanged,
) -> Tensor:
    """The query's normalised final residual (R, B, d): all of the model but the unembedding.

    Parameters
    ----------
    features : (R, C + 1, B, D)   feature vectors, the query's last
    label_rows : (R, C, B, d)     rows of W_L for the labels in context
    tap : called with the name and value of each activation; what it returns is used instead.
        Names: `embed`, `blocks.l.q`, `.k`, `.v` (R, H, h, T, B), `.attn_scores` and `.pattern`
        (R, H, query, key, B), `.z` (R, H, h, query, B), `.resid_post`, `ln_final`.
        In the last layer the query axis has length 1.
    """
    n_runs, n_items, batch, _ = features.shape
    d = config.d_model
    items = torch.baddbmm(parameters["b_E"], features.flatten(1, 2), parameters["W_E"])
    items = items.view(n_runs, n_items, batch, d)
    pairs = torch.stack([items[:, :-1], label_rows], 2).flatten(1, 2)
    tokens = torch.cat([pairs, items[:, -1:]], 1) + parameters["W_pos"]
    resid = tap("embed", tokens.flatten(1, 2))
    for layer in range(config.n_layers):
        block = f"blocks.{layer}."
        only_query = layer == config.n_layers - 1
        x = layer_norm(resid, parameters[block + "ln_w"], parameters[block + "ln_b"])
        z = _attention(parameters, config, block, x, batch, only_query, tap)
        if only_query:
            resid = resid[:, -batch:]
        resid = torch.baddbmm(resid, z.flatten(1, 2).flatten(2).mT, parameters[block + "W_O"])
        resid = tap(block + "resid_post", resid)
    return tap("ln_final", layer_norm(resid, parameters["ln_final_w"], parameters["ln_final_b"]))


def _attention(
    parameters: Parameters,
    config: ModelConfig,
    block: str,
    x: Tensor,
    batch: int,
    only_query: bool,
    tap: Tap,
) -> Tensor:
    """Mixed values (R, H, h, query, B) of one causal attention layer."""
    heads, d_head = config.n_heads, config.d_head
    weights = parameters[block + "W_QKV"].flatten(1, 3)
    qkv = torch.bmm(weights, x.mT).view(x.shape[0], 3, heads, d_head, -1, batch)
    q, k, v = (tap(block + name, part) for name, part in zip("qkv", qkv.unbind(1), strict=True))
    if only_query:
        q = q[..., -1:, :]
    products, scale = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(2), 1 / math.sqrt(d_head)
    if only_query:  # the query, being last, sees all
        scores = products * scale
    else:
        scores = torch.add(_causal_mask(products.shape[3], x.device), products, alpha=scale)
    pattern = tap(block + "pattern", torch.softmax(tap(block + "attn_scores", scores), -2))
    return tap(block + "z", (pattern.unsqueeze(2) * v.unsqueeze(-3)).sum(-2))


@cache
def _causal_mask(n_tokens: int, device: torch.device) -> Tensor:
    """0 where a token may look and -inf where it may not, (query, key, 1)."""
    return torch.full((n_tokens, n_tokens), -math.inf, device=device).triu(1).unsqueeze(-1)


def look_up_labels(W_L: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Label rows (R, C, B, d) and their flat indices into the R * N rows of `W_L`."""
    n_runs, n_labels, d = W_L.shape
    offset = torch.arange(n_runs, device=W_L.device).view(-1, 1, 1) * n_labels
    index = (labels + offset).flatten()
    return W_L.view(-1, d).index_select(0, index).view(*labels.shape, d), index


def logits(
    parameters: Parameters,
    config: ModelConfig,
    features: Tensor,
    labels: Tensor,
    tap: Tap = unchanged,
) -> Tensor:
    """The query's logits (R, B, N) for features (R, C + 1, B, D) and context labels (R, C, B)."""
    rows, _ = look_up_labels(parameters["W_L"], labels)
    resid = trunk(parameters, config, features, rows, tap)
    return torch.baddbmm(parameters["b_U"], resid, parameters["W_U"])


def unembed_loss(
    parameters: Parameters, gradients: Parameters, resid: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean query cross-entropy of each run (R,) and its gradient for `resid` (R, B, d).

    Writes the gradients for W_U and b_U into `gradients`.  One pass over the logits instead of
    autograd's several: at 12,800 labels they are most of a step's memory traffic.
    """
    W_U = parameters["W_U"]
    batch = resid.shape[1]
    z = torch.baddbmm(parameters["b_U"], resid, W_U)
    top = z.amax(-1, keepdim=True)
    correct = z.gather(-1, target.unsqueeze(-1))
    p = z.sub_(top).exp_()
    total = p.sum(-1, keepdim=True)
    loss = (total.log() + top - correct).mean((1, 2))
    d_logits = p.div_(total * batch)
    d_logits.scatter_add_(-1, target.unsqueeze(-1), torch.full_like(top, -1 / batch))
    torch.bmm(resid.mT, d_logits, out=gradients["W_U"])
    torch.sum(d_logits, 1, keepdim=True, out=gradients["b_U"])
    return loss, torch.bmm(d_logits, W_U.mT)
