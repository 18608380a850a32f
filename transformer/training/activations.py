"""Memory of activations, in training and evaluation, from shapes: nothing is computed."""

import math

from transformer.config import ModelConfig, RunConfig
from transformer.model.resnet import STEM, cut_kernel, resnet_blocks, same_padding


def saved_elements(config: RunConfig, d_features: int) -> int:
    """Return how many elements the forward pass of one run keeps for the backward pass.

    That is exact for eager steps without interventions, up to what has no batch axis.
    """
    model, batch_size, context = config.model, config.data.batch_size, config.data.context
    n_tokens = 2 * context + 1
    elements = (model.n_layers - 1) * _layer_elements(model, n_tokens, is_last=False)
    elements += _layer_elements(model, n_tokens, is_last=True)
    elements += _norm_elements(model) + config.data.exemplars.n_classes  # final residual, logits
    if model.encoder == "resnet":
        elements += (context + 1) * _resnet_elements(model.d_model, round(d_features**0.5))
    return batch_size * elements


def largest_intermediate(config: RunConfig) -> int:
    """Return the elements of the largest temporary tensor: products q k, or logits."""
    n_tokens = 2 * config.data.context + 1
    n_queries = n_tokens if config.model.n_layers > 1 else 1
    of_sequence = max(config.model.d_model * n_queries * n_tokens, config.data.exemplars.n_classes)
    return config.data.batch_size * of_sequence


def evaluated_elements(config: RunConfig, d_features: int, n_sequences: int, n_rows: int) -> int:
    """Return how many elements an evaluation of one run holds at most, beside its parameters.

    `copies`, counted in evaluations, is how many tensors of d_model elements per token exist at
    once: parts of the residual stream, queries, keys and values.

    Parameters
    ----------
    n_sequences : sequences that go through the model at once
    n_rows : sequences whose logits are computed at once
    """
    model, context = config.model, config.data.context
    n_tokens = 2 * context + 1
    n_queries = n_tokens if model.n_layers > 1 else 1
    copies = 8 + 3 * (model.n_layers > 2) + 2 * (model.positions == "rotary")
    of_layer = max(
        n_queries * n_tokens * (model.d_model + 2 * model.n_heads), 2 * n_queries * model.d_mlp
    )
    inner = n_tokens * model.d_model * copies + of_layer
    if model.encoder == "resnet":
        stem = STEM * math.ceil(round(d_features**0.5) / 2) ** 2
        inner = max(inner, 3 * (context + 1) * stem)
    features = (context + 1) * (d_features + model.d_model)
    logits = 2 * n_rows * config.data.exemplars.n_classes
    return n_sequences * features + max(n_sequences * inner, logits)


def _norm_elements(model: ModelConfig) -> int:
    """Return the elements of a token at a layer norm: input, normal and output."""
    return (3 if model.norm else 1) * model.d_model


def _layer_elements(model: ModelConfig, n_tokens: int, *, is_last: bool) -> int:
    """Return the elements of a layer for one sequence; the last has the query's row alone."""
    n_queries, d = 1 if is_last else n_tokens, model.d_model
    elements = n_tokens * (_norm_elements(model) + 3 * d)  # queries, keys and values
    if model.positions == "rotary":
        elements += (n_queries + n_tokens) * d
    elements += n_queries * (model.n_heads * n_tokens + d)  # pattern, mixed values
    if model.d_mlp:
        elements += n_queries * (_norm_elements(model) + 2 * model.d_mlp)
    return elements


def _resnet_elements(d_model: int, side: int) -> int:
    """Return the elements of one image: outputs of filters and of ReLUs, padded images."""
    half, quarter = -(-side // 2), -(-side // 4)
    pooled = (half + sum(same_padding(half, 3, 2))) ** 2  # the pool's input, which is a copy
    # pooling also keeps where each maximum is, as int64
    elements = _padded(side, 7, 2) + STEM * (2 * half**2 + pooled + 3 * quarter**2)
    size = quarter
    for name, _, outputs, stride in resnet_blocks(d_model):
        inner, out = outputs // 4, -(-size // stride)
        elements += inner * (2 * size**2 + _padded(size, 3, stride) + 2 * out**2)
        has_filter = name.endswith(".0.")  # in its shortcut
        elements += outputs * (2 + has_filter) * out**2
        size = out
    return elements


def _padded(size: int, kernel: int, stride: int) -> int:
    """Return the pixels of a square image that is padded at one end more, as a copy; else 0."""
    before, after = cut_kernel(size, kernel, stride)[1]
    return (size + before + after) ** 2 if before != after else 0
