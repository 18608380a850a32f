"""Metrics of a model on sequences, for each sequence and as means."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from transformer.config import ModelConfig
from transformer.data.exemplar_sets import Exemplars
from transformer.data.sequences import Sequences
from transformer.model.hooks import Intervened
from transformer.model.parameters import Parameters
from transformer.model.transformer import Batch, final_residual, make_batch, unchanged, unembed

CHUNK = 1000  # sequences that go through the model at once
IMAGES = 250  # images that go through the ResNet at once: some 500 MB at 105 x 105
CACHED = 2**20  # logits measured at once: they stay in a core's cache


def sequence_metrics(z: Tensor, labels: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return each metric of each sequence (n,) from the query's logits.

    With y the target and C the set of labels in context:

    - `loss` -log softmax(z)_y in nats, `probability` softmax(z)_y, `accuracy` whether z_y is above
      all others: ties and NaN are wrong (the papers' code takes the lowest label of a tie)
    - `in_context_*`: the same over the labels of C alone; the loss is NaN where y is not in C
    - `out_context_*`: accuracy and probability over all labels but C's
    - `context_probability`: the sum of softmax(z) over C

    Parameters
    ----------
    z : (n, N) logits;  labels : (context, n) int64;  target : (n,) int64
    """
    y = target.unsqueeze(1)
    z_y = z.gather(1, y).squeeze(1)
    context = _without_repeats(z.gather(1, labels.T), labels.T)
    in_context = (labels == target).any(0)
    highest_beside = context.masked_fill(y == labels.T, -torch.inf).amax(1)
    log_context = context.logsumexp(1)
    # few passes over all labels, and those in place: they are what an evaluation costs
    others = z.scatter(1, torch.cat([labels.T, y], 1), -torch.inf)
    highest = others.amax(1, keepdim=True).clamp_min(torch.finfo(z.dtype).min)
    log_others = others.sub_(highest).exp_().sum(1).log() + highest.squeeze(1)
    highest = highest.squeeze(1)
    log_rest = torch.where(in_context, log_others, torch.logaddexp(log_others, z_y))
    log_total = torch.logaddexp(log_context, log_rest)
    nowhere = torch.zeros_like(z_y)
    return {
        "loss": log_total - z_y,
        "accuracy": (z_y > torch.maximum(highest, highest_beside)).float(),
        "probability": (z_y - log_total).exp(),
        "in_context_loss": torch.where(in_context, log_context - z_y, torch.nan),
        "in_context_accuracy": (in_context & (z_y > highest_beside)).float(),
        "in_context_probability": torch.where(in_context, (z_y - log_context).exp(), nowhere),
        "out_context_accuracy": (~in_context & (z_y > highest)).float(),
        "out_context_probability": torch.where(in_context, nowhere, (z_y - log_rest).exp()),
        "context_probability": (log_context - log_total).exp(),
    }


def _without_repeats(values: Tensor, labels: Tensor) -> Tensor:
    """Return values (n, context) with -inf where the label occurs earlier in the row."""
    same = labels.unsqueeze(2) == labels.unsqueeze(1)
    repeated = same.tril(-1).any(2)
    return values.masked_fill(repeated, -torch.inf)


def batches(
    parameters: Parameters,
    config: ModelConfig,
    exemplars: Exemplars,
    sequences: Sequences,
    at_most: int = CHUNK,
) -> Iterator[Batch]:
    """Return sequences in order, as many at once as fit into memory with their exemplars."""
    n_items, n = sequences.exemplars.shape
    if config.encoder == "resnet":
        at_most = min(at_most, max(1, IMAGES // n_items))
    for start in range(0, n, at_most):
        own = slice(start, start + at_most)
        features = exemplars.features(sequences.exemplars[:, own], parameters["W_U"].dtype)[None]
        labels, target = sequences.labels[None, :, own], sequences.target[None, own]
        yield make_batch(parameters, config, features, labels, target)


@torch.no_grad()
def evaluate(
    parameters: Parameters,
    config: ModelConfig,
    exemplars: Exemplars,
    sequences: Sequences,
    intervened: Intervened | None = None,
) -> dict[str, Tensor]:
    """Return metrics of each sequence (n,) for one run's parameters (run axis of length 1)."""
    rows = max(1, CACHED // parameters["W_U"].shape[-1])
    # some interventions see residuals and logits of the same sequences
    at_most = min(CHUNK, rows) if intervened else CHUNK
    chunks = []
    for batch in batches(parameters, config, exemplars, sequences, at_most):
        tap = intervened.tap(parameters, batch) if intervened else unchanged
        final = final_residual(parameters, config, batch.items, batch.labels, tap)
        targets = torch.as_tensor(batch.target)
        for start in range(0, final.shape[1], rows):
            own = slice(start, start + rows)
            z = tap("logits", unembed(parameters, final[:, own]))[0]
            chunks.append(sequence_metrics(z, batch.labels[0, :, own], targets[0, own]))
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}


def means(metrics: dict[str, Tensor]) -> dict[str, float | None]:
    """Return the mean of each metric in float64; None where it is undefined or infinite."""
    arrays = {metric: each.detach().cpu().numpy() for metric, each in metrics.items()}
    values = {metric: float(each.mean(dtype=np.float64)) for metric, each in arrays.items()}
    return {metric: mean if math.isfinite(mean) else None for metric, mean in values.items()}
