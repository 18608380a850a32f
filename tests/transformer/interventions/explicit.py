"""Slow definitions of the interventions: one sequence, token by token and head by head."""

import math

import torch

from tests.transformer.model.textbook import (
    slow_affine,
    slow_mlp,
    slow_norm,
    slow_rotation,
    slow_sinusoid,
)


def slow_intervened(p, model, features, labels, target, *, do, other=None):
    """Logits of one sequence; `do` has the settings of interventions by class name.

    `other` are the parameters of what is grafted.
    """
    clean = {}
    if "Preserve" in do:
        _pass(p, model, features, labels, target, {}, None, {}, clean)
    return _pass(p, model, features, labels, target, do, other, clean, {})


def _pass(p, model, features, labels, target, do, other, clean, seen):
    lower = do.get("GraftIn", {}).get("till", -1)
    upper = do.get("GraftOut", {}).get("from_", model.n_layers)
    own = other if lower >= 0 else p
    resid = []
    for n, x in enumerate(features):
        resid.append(slow_affine(own, "W_E", x))
        if n < len(labels):
            resid.append(own["W_L"][labels[n]])
    if "AblateEmbedding" in do and lower < 0:
        resid = [0 * x for x in resid]
    if model.positions == "learned":
        resid = [x + own["W_pos"][t, 0] for t, x in enumerate(resid)]
    elif model.positions == "sinusoidal":
        resid = [x + slow_sinusoid(t, model) for t, x in enumerate(resid)]
    embedded = list(resid)
    copied = None
    for layer in range(model.n_layers):
        theirs = layer <= lower or layer > upper
        own, b = other if theirs else p, f"blocks.{layer}."
        acts = {} if theirs else do
        to_match = resid
        if acts.get("PerfectPreviousTokenInput", {}).get("layer") == layer:
            resid = list(embedded)
            to_match = [embedded[0], *embedded[:-2], embedded[-1]]
        mixed = [[] for _ in resid]
        for head in range(model.n_heads):
            q = _project(own, model, b, 0, head, to_match)
            k = _project(own, model, b, 1, head, to_match)
            v = _project(own, model, b, 2, head, resid)
            for what, ys in (("queries", q), ("keys", k), ("values", v)):
                seen[what, layer, head] = list(ys)
                if what in acts.get("Preserve", {}).get("what", ()):
                    ys[:] = clean[what, layer, head]
            q, k = ([slow_rotation(t, model) @ y for t, y in enumerate(ys)] for ys in (q, k))
            for t in range(len(resid)):
                scores = [q[t] @ k[s] / math.sqrt(model.d_head) for s in range(t + 1)]
                attention = _attention(scores, t, layer, head, features, labels, target, acts)
                seen["patterns", layer, head, t] = attention
                if "patterns" in acts.get("Preserve", {}).get("what", ()):
                    attention = clean["patterns", layer, head, t]
                attention = _clamped(attention, t, layer, head, features, labels, target, acts)
                z = sum(a * x for a, x in zip(attention, v, strict=False))
                if f"{layer}:{head}" in acts.get("Ablate", {}).get("heads", ()):
                    z = 0 * z
                mixed[t].append(z)
                if acts.get("CopyFromPattern", {}).get("head") == f"{layer}:{head}":
                    copied = scores
        resid = [
            x + slow_affine(own, b + "W_O", torch.cat(zs))
            for x, zs in zip(resid, mixed, strict=True)
        ]
        if model.mlp_ratio:
            resid = [x + slow_mlp(own, b, slow_norm(own, b + "ln_mlp_", x)) for x in resid]
    own = other if upper < model.n_layers else p
    z = slow_affine(own, "W_U", slow_norm(own, "ln_final_", resid[-1]))
    if copied is None:
        return z
    z = torch.full_like(z, -1e9)
    for label in labels:
        own = [copied[2 * n + 1].exp() for n, each in enumerate(labels) if each == label]
        z[label] = sum(own).log()
    return z


def _project(p, model, b, which, head, xs):
    bias = p[b + "b_QKV"][which, head, :, 0] if model.attention_bias else 0
    return [p[b + "W_QKV"][which, head] @ slow_norm(p, b + "ln_", x) + bias for x in xs]


def _attention(scores, t, layer, head, features, labels, target, acts):
    """Attention of token t to those up to itself, from its scores."""
    name, is_query = f"{layer}:{head}", t == 2 * len(labels)
    scores = list(scores)
    forbidden = acts.get("ForbidPreviousToken", {})
    if name in forbidden.get("heads", ()) and t > 0 and (forbidden["rows"] == "all" or t % 2):
        scores[t - 1] = torch.tensor(-1e9, dtype=torch.float64)
    heated = acts.get("Temperature", {})
    if name in heated.get("heads", ()):
        scores = [score / heated["temperature"] for score in scores]
    if name in acts.get("SilenceNonLabels", {}).get("heads", ()) and is_query:
        scores = [
            score if s % 2 else torch.tensor(-1e9, dtype=torch.float64)
            for s, score in enumerate(scores)
        ]
    highest = max(scores)
    total = sum((score - highest).exp() for score in scores)
    return [(score - highest).exp() / total for score in scores]


def _clamped(attention, t, layer, head, features, labels, target, acts):
    """The same where patterns are set."""
    name, is_query, n = f"{layer}:{head}", t == 2 * len(labels), len(labels)
    previous = acts.get("PreviousToken", {})
    if name in previous.get("heads", ()) and (previous["rows"] == "all" or t % 2):
        s = previous["strength"]
        attention = [0.0] * (t + 1)
        attention[t] = 1 - s if t else 1.0
        if t:
            attention[t - 1] = s
    if name in acts.get("ClampPattern", {}).get("heads", ()) and is_query:
        s = acts["ClampPattern"]["strength"]
        right = sum(int(label == target) for label in labels)
        attention = [0.0] * (t + 1)
        for i, label in enumerate(labels):
            if label == target:
                attention[2 * i + 1] = (s if right < n else 1) / right
            else:
                attention[2 * i + 1] = ((1 - s) if right else 1) / (n - right)
    if name in acts.get("Match", {}).get("heads", ()) and is_query:
        heat = acts["Match"]["temperature"]
        alike = [float(x @ features[-1] / x.norm() / features[-1].norm()) for x in features[:-1]]
        if heat:
            weights = [math.exp((a - max(alike)) / heat) for a in alike]
        else:
            weights = [float(a > max(alike) - 1e-12) for a in alike]
        attention = [0.0] * (t + 1)
        for i, weight in enumerate(weights):
            attention[2 * i + 1] = weight / sum(weights)
    return attention
