"""Weights in the papers' code's conventions, against a slow definition of its model."""

import math

import numpy as np
import pytest
import torch

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.model.loaded import Model
from transformer.model.published import from_published, to_published

CONTEXT, N_LABELS, D_FEATURES, SLOTS = 2, 7, 6, 32
VARIANTS = {
    "attention only": {"n_layers": 2},
    "mlp": {"n_layers": 3, "mlp_ratio": 4},
    "no norm": {"n_layers": 2, "norm": False},
}


def make_config(positions, **changes):
    return ModelConfig(d_model=8, n_heads=2, max_time=5, positions=positions, **changes)


def published_model(config, seed=0):
    """Random arrays by name, weights (outputs, inputs), as Equinox keeps them."""
    d, rng = config.d_model, np.random.default_rng(seed)
    shapes = {"example_embed": (d, D_FEATURES), "label_embed": (d, N_LABELS)}
    shapes |= {"unembed": (N_LABELS, d)}
    norms, unbiased = [], ["label_embed"]
    if config.positions == "learned":
        shapes["pos_embed"] = (d, SLOTS)
        unbiased += ["pos_embed"]
    for layer in range(config.n_layers):
        b = f"transformer.blocks[{layer}]."
        shapes |= {b + "attn.qkv": (3 * d, d), b + "attn.proj": (d, d)}
        unbiased += [b + "attn.qkv", b + "attn.proj"]
        norms += [b + "norm1"]
        if config.mlp_ratio:
            shapes |= {b + "mlp.fc1": (4 * d, d), b + "mlp.fc2": (d, 4 * d)}
            norms += [b + "norm2"]
    arrays = {f"{name}.weight": rng.normal(size=n) / math.sqrt(n[1]) for name, n in shapes.items()}
    biased = {name: shape[0] for name, shape in shapes.items() if name not in unbiased}
    if config.norm:
        norms += ["transformer.norm"]
        arrays |= {f"{name}.weight": 1 + rng.normal(size=d) / 2 for name in norms}
        biased |= dict.fromkeys(norms, d)
    arrays |= {f"{name}.bias": rng.normal(size=n) for name, n in biased.items()}
    return {name: array.astype(np.float32).astype(float) for name, array in arrays.items()}


def published_logits(arrays, config, examples, labels):
    """The query's logits of one sequence, number by number."""

    def linear(name, x):
        y = [sum(w * v for w, v in zip(row, x, strict=True)) for row in arrays[name + ".weight"]]
        bias = arrays.get(name + ".bias", np.zeros(len(y)))
        return np.array(y) + bias

    def norm(name, x):
        if name + ".weight" not in arrays:
            return x
        centred = x - np.mean(x)
        scaled = centred / math.sqrt(np.mean(centred**2) + 1e-5)
        return arrays[name + ".weight"] * scaled + arrays[name + ".bias"]

    def position(t):
        """sin, cos, sin, cos, ... of an angle that falls from pair to pair."""
        if config.positions == "rotary":
            return np.zeros(config.d_model)
        if config.positions == "learned":
            return arrays["pos_embed.weight"][:, t]
        values = []
        for pair in range(config.d_model // 2):
            angle = t / config.max_time ** (2 * pair / config.d_model)
            values += [math.sin(angle), math.cos(angle)]
        return np.array(values)

    def turned(x, t):
        """A head's query or key, its pairs (0, 1), (2, 3), ... turned as complex numbers."""
        if config.positions != "rotary":
            return x
        y = []
        for pair in range(len(x) // 2):
            angle = t / config.max_time ** (2 * pair / len(x))
            z = complex(x[2 * pair], x[2 * pair + 1]) * complex(math.cos(angle), math.sin(angle))
            y += [z.real, z.imag]
        return np.array(y)

    def gelu(x):
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    resid = []
    for item, label in zip(examples[:-1], labels, strict=True):
        resid += [linear("example_embed", item), arrays["label_embed.weight"][:, label]]
    resid.append(linear("example_embed", examples[-1]))
    resid = [x + position(t) for t, x in enumerate(resid)]
    h = config.d_head
    for layer in range(config.n_layers):
        b = f"transformer.blocks[{layer}]."
        qkv = [linear(b + "attn.qkv", norm(b + "norm1", x)) for x in resid]
        qkv = [x.reshape(3, config.n_heads, h) for x in qkv]
        mixed = [np.zeros((config.n_heads, h)) for _ in resid]
        for head in range(config.n_heads):
            q, k = ([turned(x[j, head], t) for t, x in enumerate(qkv)] for j in (0, 1))
            for t in range(len(resid)):
                weights = [math.exp(q[t] @ k[s] / math.sqrt(h)) for s in range(t + 1)]
                for s, weight in enumerate(weights):
                    mixed[t][head] += weight / sum(weights) * qkv[s][2, head]
        resid = [x + linear(b + "attn.proj", y.ravel()) for x, y in zip(resid, mixed, strict=True)]
        if config.mlp_ratio:
            resid = [
                x + linear(b + "mlp.fc2", gelu(linear(b + "mlp.fc1", norm(b + "norm2", x))))
                for x in resid
            ]
    return linear("unembed", norm("transformer.norm", resid[-1]))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
def test_published_weights_give_the_published_logits(positions, variant):
    config = make_config(positions, **VARIANTS[variant])
    arrays = published_model(config)
    parameters = from_published(arrays, config, context=CONTEXT)
    assert all(value.is_contiguous() for value in parameters.values())
    double = {name: value.double() for name, value in parameters.items()}
    rng = np.random.default_rng(1)
    exemplars = rng.normal(size=(5, CONTEXT + 1, D_FEATURES))
    labels = rng.integers(N_LABELS, size=(5, CONTEXT))
    ours = Model(config, double).logits(exemplars, labels)
    for z, own, context in zip(ours, exemplars, labels, strict=True):
        slow = published_logits(arrays, config, own, context)
        np.testing.assert_allclose(z.numpy(), slow, rtol=1e-10, atol=1e-10)
    untouched = {name: array.copy() for name, array in arrays.items()}
    back = to_published(parameters, config)
    if positions == "learned":  # what no sequence reads is lost
        untouched["pos_embed.weight"][:, 2 * CONTEXT + 1 :] = 0
    assert set(back) == set(arrays)
    for name, array in untouched.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)


def test_what_does_not_fit_is_refused():
    config = make_config("learned", mlp_ratio=4)
    arrays = published_model(config)
    with pytest.raises(UsageError, match=r"lack none and hold transformer.*mlp.fc1.bias"):
        from_published(arrays, make_config("learned"), context=CONTEXT)
    with pytest.raises(UsageError, match=r"mlp.fc1.weight has the shape \(32, 8\)"):
        from_published(arrays, make_config("learned", mlp_ratio=2), context=CONTEXT)
    with pytest.raises(UsageError, match=r"pos_embed.weight has the shape \(8, 32\)"):
        from_published(arrays, config, context=16)
    with pytest.raises(UsageError, match="no blocks.0.b_QKV"):
        from_published(arrays, make_config("learned", attention_bias=True), context=CONTEXT)
    long = {"W_pos": torch.zeros(33, 1, 8)}
    with pytest.raises(UsageError, match="33 positions, the published code 32"):
        to_published(long, config)
