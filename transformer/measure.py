"""Metrics of a set of sequences, per sequence and as means."""

import math

import torch
from torch import Tensor

from transformer.config import ModelConfig
from transformer.exemplars import Exemplars
from transformer.model import Parameters, logits
from transformer.sequences import Sequences

CHUNK = 1000  # sequences evaluated at once: 50 MB of logits at 12,800 labels


def sequence_metrics(z: Tensor, labels: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Each metric of each sequence (n,), float32, from the query's logits.

    With y the target and C the set of labels in context:

    - `loss` -log softmax(z)_y in nats, `accuracy` [argmax z = y], `probability` softmax(z)_y
    - `in_context_*`: the same over the labels of C alone; the loss is NaN where y is not in C
    - `out_context_*`: accuracy and probability over all labels but C's
    - `context_probability`: the sum of softmax(z) over C

    Parameters
    ----------
    z : (n, N) logits;  labels : (context, n) int64;  target : (n,) int64
    """
    y = target.unsqueeze(1)
    context = _without_repeats(z.gather(1, labels.T), labels.T)
    in_context = (labels == target).any(0)
    z_y = z.gather(1, y).squeeze(1)
    log_total = z.logsumexp(1)
    log_context = context.logsumexp(1)
    in_context_loss = torch.where(in_context, log_context - z_y, torch.nan)
    best_in_context = labels.T.gather(1, context.argmax(1, keepdim=True))
    rest = z.scatter(1, labels.T, -torch.inf)
    log_rest = rest.logsumexp(1)
    rest_y = rest.gather(1, y).squeeze(1)  # -inf where y is in context
    return {
        "loss": log_total - z_y,
        "accuracy": (z.argmax(1) == target).float(),
        "probability": (z_y - log_total).exp(),
        "in_context_loss": in_context_loss,
        "in_context_accuracy": (best_in_context == y).squeeze(1).float(),
        "in_context_probability": torch.where(in_context, (z_y - log_context).exp(), 0.0),
        "out_context_accuracy": ((rest.argmax(1) == target) & ~in_context).float(),
        "out_context_probability": (rest_y - log_rest).exp(),
        "context_probability": (log_context - log_total).exp(),
    }


def _without_repeats(values: Tensor, labels: Tensor) -> Tensor:
    """Values (n, context) with -inf where the label stands earlier in the row."""
    same = labels.unsqueeze(2) == labels.unsqueeze(1)
    repeated = same.tril(-1).any(2)
    return values.masked_fill(repeated, -torch.inf)


@torch.no_grad()
def evaluate(
    parameters: Parameters, config: ModelConfig, exemplars: Exemplars, sequences: Sequences
) -> dict[str, Tensor]:
    """Metrics of each sequence (n,) for one run's parameters (run axis of length 1)."""
    dtype = parameters["W_U"].dtype
    n = sequences.target.shape[-1]
    chunks = []
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        features = exemplars.features(sequences.exemplars[:, part], dtype)
        labels = sequences.labels[:, part]
        z = logits(parameters, config, features.unsqueeze(0), labels.unsqueeze(0))[0]
        chunks.append(sequence_metrics(z, labels, sequences.target[part]))
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}


def means(metrics: dict[str, Tensor]) -> dict[str, float | None]:
    """Mean of each metric; None where it is not finite, such as a loss that is undefined."""
    values = {metric: float(each.mean()) for metric, each in metrics.items()}
    return {metric: mean if math.isfinite(mean) else None for metric, mean in values.items()}
