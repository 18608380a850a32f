"""Slow definitions of the model: one sequence of one run, token by token and head by head."""

import math

import torch
import torch.nn.functional as F

from tests.transformer.conftest import make_state, randomise
from transformer.config import ModelConfig, OptimConfig
from transformer.model.transformer import encode, logits_of_items, unchanged
from transformer.training.step import RunSettings

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def make_model(n_layers=2, d_model=8, **changes):
    return ModelConfig(n_layers=n_layers, n_heads=2, d_model=d_model, max_time=5, **changes)


def make(model, n_runs=2, **optim):
    """A train_state whose parameters are all random."""
    members = [RunSettings(seed, OptimConfig(**optim)) for seed in range(n_runs)]
    return randomise(make_state(model, members))


def logits(parameters, model, features, labels, tap=unchanged):
    """Logits (R, B, N) as evaluation computes them."""
    items, _ = encode(parameters, model, features, training=False)
    return logits_of_items(parameters, model, items, labels, tap)


def of_run(train_state, run):
    return {name: value[run].clone() for name, value in train_state.parameters.items()}


def slow_logits(p, model, items, labels):
    """The textbook's pre-norm transformer on encoded exemplars (C + 1 vectors)."""
    resid = []
    for item, label in zip(items[:-1], labels, strict=True):
        resid += [item, p["W_L"][label]]
    resid.append(items[-1])
    if model.positions == "learned":
        resid = [x + p["W_pos"][t, 0] for t, x in enumerate(resid)]
    elif model.positions == "sinusoidal":
        resid = [x + slow_sinusoid(t, model) for t, x in enumerate(resid)]
    for layer in range(model.n_layers):
        b = f"blocks.{layer}."
        mixed = slow_attention(p, b, model, [slow_norm(p, b + "ln_", x) for x in resid])
        resid = [x + slow_affine(p, b + "W_O", y) for x, y in zip(resid, mixed, strict=True)]
        if model.mlp_ratio:
            resid = [x + slow_mlp(p, b, slow_norm(p, b + "ln_mlp_", x)) for x in resid]
    return slow_affine(p, "W_U", slow_norm(p, "ln_final_", resid[-1]))


def slow_affine(p, weight, x):
    y = torch.stack([x @ column for column in p[weight].T])
    bias = weight.replace("W_", "b_")
    return y + p[bias][0] if bias in p else y


def slow_norm(p, prefix, x):
    if prefix + "w" not in p:
        return x
    variance = ((x - x.mean()) ** 2).mean()
    return (x - x.mean()) / torch.sqrt(variance + 1e-5) * p[prefix + "w"][0] + p[prefix + "b"][0]


def slow_mlp(p, b, x):
    x = slow_affine(p, b + "W_in", x)
    gelu = x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return slow_affine(p, b + "W_out", gelu)


def slow_sinusoid(t, model):
    half = model.d_model // 2
    angles = [t / model.max_time ** (i / half) for i in range(half)]
    values = [*map(math.sin, angles), *map(math.cos, angles)]
    return torch.tensor(values, dtype=torch.float64)


def slow_rotation(t, model):
    """The rotation of token t's queries and keys, one 2 x 2 matrix a pair (i, i + h / 2)."""
    h = model.d_model // model.n_heads
    matrix = torch.zeros(h, h, dtype=torch.float64)
    for i in range(h // 2):
        angle = t / model.max_time ** (2 * i / h) if model.positions == "rotary" else 0
        c, s = math.cos(angle), math.sin(angle)
        pair = torch.tensor([i, i + h // 2])
        matrix[pair[:, None], pair] = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return matrix


def slow_attention(p, b, model, xs):
    """Heads side by side, for each token."""
    mixed = [[] for _ in xs]
    for head in range(model.n_heads):
        q, k, v = (
            [
                p[b + "W_QKV"][j, head] @ x
                + (p[b + "b_QKV"][j, head, :, 0] if model.attention_bias else 0)
                for x in xs
            ]
            for j in range(3)
        )
        q, k = ([slow_rotation(t, model) @ y for t, y in enumerate(ys)] for ys in (q, k))
        for t in range(len(xs)):
            scores = [q[t] @ k[s] / math.sqrt(model.d_model / model.n_heads) for s in range(t + 1)]
            total = sum(score.exp() for score in scores)
            mixed[t].append(sum(scores[s].exp() / total * v[s] for s in range(t + 1)))
    return [torch.cat(heads) for heads in mixed]


def slow_resnet(p, images, d_model, *, training):
    """Tokens of images (n, 1, side, side), and the statistics of this batch."""
    seen = {}

    def pad(x, kernel, stride, value=0.0):
        """JAX's "SAME": ceil(size / stride) outputs, an odd pixel of padding at the end."""
        size = x.shape[-1]
        total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
        return F.pad(x, [total // 2, total - total // 2] * 2, value=value)

    def conv(x, name, stride=1):
        return F.conv2d(pad(x, p[name].shape[-1], stride), p[name], stride=stride)

    def norm(x, name):
        mean, var = p[name + "_mean"].clone(), p[name + "_var"].clone()
        scale, shift = p[name + "_w"], p[name + "_b"]
        y = F.batch_norm(x, mean, var, scale, shift, training, momentum=1.0, eps=1e-5)
        n = x.numel() // x.shape[1]
        seen.update({name + "_mean": mean, name + "_var": var * (n - 1) / n})  # torch's: unbiased
        return y

    x = norm(conv(images, "encoder.W", 2), "encoder.norm").relu()
    x = F.max_pool2d(pad(x, 3, 2, -math.inf), 3, 2)
    for group in range(4):
        for block in range(2):
            b = f"encoder.{group}.{block}."
            stride = 2 if block == 0 and group > 0 else 1
            short = norm(conv(x, b + "W_shortcut", stride), b + "norm_shortcut") if not block else x
            y = norm(conv(x, b + "W_1"), b + "norm_1").relu()
            y = norm(conv(y, b + "W_2", stride), b + "norm_2").relu()
            x = (norm(conv(y, b + "W_3"), b + "norm_3") + short).relu()
    assert x.shape[1] == d_model
    return x.mean((2, 3)), seen if training else {}


def slow_items(p, model, features, *, training):
    """Encoded exemplars (C + 1, B, d) of features (C + 1, B, D)."""
    if model.encoder == "linear":
        return torch.stack([torch.stack([slow_affine(p, "W_E", x) for x in f]) for f in features])
    side = math.isqrt(features.shape[-1])
    images = features.reshape(-1, 1, side, side)
    tokens, _ = slow_resnet(p, images, model.d_model, training=training)
    return tokens.view(*features.shape[:2], model.d_model)


def slow_batch(p, model, features, labels, *, training=False):
    """Logits (B, N) of a batch."""
    items = slow_items(p, model, features, training=training)
    return torch.stack(
        [slow_logits(p, model, items[:, n], labels[:, n]) for n in range(features.shape[1])]
    )
