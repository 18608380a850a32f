"""Slow definitions of model and interventions: one sequence, token by token, head by head."""

import math
from dataclasses import dataclass, field, replace

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
    return _slow_pass(Scene(p, model, items, labels))


def slow_intervened(p, model, features, labels, target, *, do, other=None):
    """Logits of one sequence; `do` has the settings of interventions by class name.

    `other` are the parameters of what is grafted.
    """
    items = [slow_affine(other if "GraftIn" in do else p, "W_E", x) for x in features]
    scene = Scene(p, model, items, labels, features, target)
    if "Preserve" in do:
        _slow_pass(scene)
    return _slow_pass(replace(scene, do=do, other=other, clean=scene.seen, seen={}))


@dataclass
class Scene:
    """What a pass of one sequence reads, and what it leaves to be preserved."""

    p: dict
    model: ModelConfig
    items: list
    labels: torch.Tensor
    features: torch.Tensor | None = None
    target: torch.Tensor | None = None
    do: dict = field(default_factory=dict)
    other: dict | None = None
    clean: dict = field(default_factory=dict)
    seen: dict = field(default_factory=dict)

    def acts_on(self, name, layer, head):
        """Settings of an intervention if it acts on a head, else none."""
        settings = self.do.get(name, {})
        return settings if f"{layer}:{head}" in settings.get("heads", ()) else {}


def _slow_pass(scene):
    model, labels, do = scene.model, scene.labels, scene.do
    lower = do.get("GraftIn", {}).get("till", -1)
    upper = do.get("GraftOut", {}).get("from_", model.n_layers)
    own = scene.other if lower >= 0 else scene.p
    resid = []
    for item, label in zip(scene.items[:-1], labels, strict=True):
        resid += [item, own["W_L"][label]]
    resid.append(scene.items[-1])
    if "AblateEmbedding" in do and lower < 0:
        resid = [0 * x for x in resid]
    if model.positions == "learned":
        resid = [x + own["W_pos"][t, 0] for t, x in enumerate(resid)]
    elif model.positions == "sinusoidal":
        resid = [x + slow_sinusoid(t, model) for t, x in enumerate(resid)]
    embedded, copied = list(resid), None
    for layer in range(model.n_layers):
        theirs = layer <= lower or layer > upper
        own, b = scene.other if theirs else scene.p, f"blocks.{layer}."
        here = replace(scene, do={} if theirs else do)
        to_match = resid
        if here.do.get("PerfectPreviousTokenInput", {}).get("layer") == layer:
            resid = embedded
            to_match = [embedded[0], *embedded[:-2], embedded[-1]]
        mixed = [[] for _ in resid]
        for head in range(model.n_heads):
            q = _project(own, model, b, 0, head, to_match)
            k = _project(own, model, b, 1, head, to_match)
            v = _project(own, model, b, 2, head, resid)
            for what, ys in (("queries", q), ("keys", k), ("values", v)):
                scene.seen[what, layer, head] = list(ys)
                if what in here.do.get("Preserve", {}).get("what", ()):
                    ys[:] = scene.clean[what, layer, head]
            q, k = ([slow_rotation(t, model) @ y for t, y in enumerate(ys)] for ys in (q, k))
            for t in range(len(resid)):
                scores = [q[t] @ k[s] / math.sqrt(model.d_head) for s in range(t + 1)]
                attention = _attention(scores, t, layer, head, here)
                scene.seen["patterns", layer, head, t] = attention
                if "patterns" in here.do.get("Preserve", {}).get("what", ()):
                    attention = scene.clean["patterns", layer, head, t]
                attention = _clamped(attention, t, layer, head, here)
                z = sum(a * x for a, x in zip(attention, v, strict=False))
                mixed[t].append(0 * z if here.acts_on("Ablate", layer, head) else z)
                if here.do.get("CopyFromPattern", {}).get("head") == f"{layer}:{head}":
                    copied = scores
        resid = [
            x + slow_affine(own, b + "W_O", torch.cat(zs))
            for x, zs in zip(resid, mixed, strict=True)
        ]
        if model.mlp_ratio:
            resid = [x + slow_mlp(own, b, slow_norm(own, b + "ln_mlp_", x)) for x in resid]
    own = scene.other if upper < model.n_layers else scene.p
    z = slow_affine(own, "W_U", slow_norm(own, "ln_final_", resid[-1]))
    if copied is None:
        return z
    z = torch.full_like(z, -1e9)
    for label in labels:
        same = [copied[2 * n + 1].exp() for n, each in enumerate(labels) if each == label]
        z[label] = sum(same).log()
    return z


def _project(p, model, b, which, head, xs):
    bias = p[b + "b_QKV"][which, head, :, 0] if model.attention_bias else 0
    return [p[b + "W_QKV"][which, head] @ slow_norm(p, b + "ln_", x) + bias for x in xs]


def _attention(scores, t, layer, head, scene):
    """Attention of token t to those up to itself, from its scores."""
    scores, hidden = list(scores), torch.tensor(-1e9, dtype=torch.float64)
    forbid = scene.acts_on("ForbidPreviousToken", layer, head)
    if forbid and t > 0 and (forbid["rows"] == "all" or t % 2):
        scores[t - 1] = hidden
    if heated := scene.acts_on("Temperature", layer, head):
        scores = [score / heated["temperature"] for score in scores]
    if scene.acts_on("SilenceNonLabels", layer, head) and t == 2 * len(scene.labels):
        scores = [score if s % 2 else hidden for s, score in enumerate(scores)]
    highest = max(scores)
    total = sum((score - highest).exp() for score in scores)
    return [(score - highest).exp() / total for score in scores]


def _clamped(attention, t, layer, head, scene):
    """The same where patterns are set."""
    labels, is_query = scene.labels, t == 2 * len(scene.labels)
    previous = scene.acts_on("PreviousToken", layer, head)
    if previous and (previous["rows"] == "all" or t % 2):
        s = previous["strength"]
        return [0.0] * (t - 1) + [s, 1 - s] if t else [1.0]
    shares = None
    if is_query and (clamp := scene.acts_on("ClampPattern", layer, head)):
        s, right = clamp["strength"], [bool(label == scene.target) for label in labels]
        n_right, n_wrong = sum(right), len(right) - sum(right)
        shares = [
            (s if n_wrong else 1) / n_right if each else ((1 - s) if n_right else 1) / n_wrong
            for each in right
        ]
    if is_query and (match := scene.acts_on("Match", layer, head)):
        *exemplars, query = scene.features
        alike = [float(x @ query / x.norm() / query.norm()) for x in exemplars]
        heat = match["temperature"]
        weights = [
            math.exp((a - max(alike)) / heat) if heat else float(a > max(alike) - 1e-12)
            for a in alike
        ]
        shares = [weight / sum(weights) for weight in weights]
    if shares is None:
        return attention
    return [each for share in shares for each in (0.0, share)] + [0.0]


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
