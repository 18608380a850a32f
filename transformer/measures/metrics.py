"""Metrics of a model on sequences, for each sequence and as means."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from transformer.config import ModelConfig
from transformer.data.exemplar_sets import Exemplars, RunExemplars
from transformer.data.sequences import Sequences
from transformer.model.hooks import Intervened
from transformer.model.parameters import Parameters
from transformer.model.transformer import Batch, final_residual, make_batch, unchanged, unembed

CHUNK = 1000  # sequences that go through the model at once
IMAGES = 250  # images that go through the ResNet at once: some 500 MB at 105 x 105
CACHED = 2**20  # logits measured at once: they stay in a core's cache

DEVICE_BYTES = 2**31  # of activations on a GPU, of all runs at once
WIDTHS = 12  # activations of a token, in widths of the residual stream: some exist twice
IMAGE_NUMBERS = 2**19  # activations of an image of 105 x 105 in the ResNet
LOGITS = 5  # times that logits exist while they are measured


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
    parameters: Parameters, config: ModelConfig, exemplars: Exemplars, sequences: Sequences
) -> Iterator[Batch]:
    """Return one run's sequences in order, as many at once as fit into memory."""
    own, n_items = parameters["W_U"], len(sequences.exemplars)
    at_most, _ = piece_sizes(config, own.shape[::2], n_items, own.element_size(), is_cpu=own.is_cpu)
    of_run = RunExemplars([exemplars])
    return _batches(parameters, config, of_run, Sequences.stack([sequences]), at_most)


def _batches(
    parameters: Parameters,
    config: ModelConfig,
    exemplars: RunExemplars,
    sequences: Sequences,
    at_most: int,
) -> Iterator[Batch]:
    """Return the sequences (R, ..., n) of all runs in order, `at_most` of each at once."""
    dtype = parameters["W_U"].dtype
    for start in range(0, sequences.target.shape[1], at_most):
        own = slice(start, start + at_most)
        features = exemplars.features(sequences.exemplars[..., own], dtype)
        labels, target = sequences.labels[..., own], sequences.target[..., own]
        yield make_batch(parameters, config, features, labels, target)


def piece_sizes(
    config: ModelConfig,
    shape: Sequence[int],
    n_items: int,
    width: int,
    *,
    is_cpu: bool,
    is_intervened: bool = False,
) -> tuple[int, int]:
    """Return how many sequences a run sends through the model, and unembeds, at once.

    On a CPU, pieces fit into its caches; elsewhere all runs together take `DEVICE_BYTES`.

    Parameters
    ----------
    shape : numbers of runs and of labels
    n_items : exemplars of a sequence
    width : bytes of a number
    """
    n_runs, n_labels = shape
    at_most, images, rows = CHUNK, IMAGES, CACHED // n_labels
    if not is_cpu:
        of_run = DEVICE_BYTES // (n_runs * width)
        n_tokens = 2 * n_items - 1
        of_token = config.d_model * (WIDTHS + n_tokens) + 2 * config.d_mlp  # products of q and k
        at_most, images = of_run // (n_tokens * of_token), of_run // IMAGE_NUMBERS
        rows = of_run // (LOGITS * n_labels)
    if config.encoder == "resnet":
        at_most = min(at_most, images // n_items)
    if is_intervened:  # some interventions see residuals and logits of the same sequences
        at_most = min(at_most, rows)
    return max(1, at_most), max(1, rows)


@torch.no_grad()
def evaluate(
    parameters: Parameters,
    config: ModelConfig,
    exemplars: Exemplars,
    sequences: Sequences,
    intervened: Intervened | None = None,
) -> dict[str, Tensor]:
    """Return metrics of each sequence (n,) for one run's parameters (run axis of length 1)."""
    metrics = evaluate_runs(parameters, config, RunExemplars([exemplars]), [sequences], intervened)
    return {name: of_runs[0] for name, of_runs in metrics.items()}


@torch.no_grad()
def evaluate_runs(
    parameters: Parameters,
    config: ModelConfig,
    exemplars: RunExemplars,
    sequences: Sequence[Sequences],
    intervened: Intervened | None = None,
) -> dict[str, Tensor]:
    """Return metrics (R, n) of each run on n sequences of its own."""
    own, n_items = parameters["W_U"], len(sequences[0].exemplars)
    at_most, rows = piece_sizes(
        config,
        own.shape[::2],
        n_items,
        own.element_size(),
        is_cpu=own.is_cpu,
        is_intervened=intervened is not None,
    )
    pieces: list[dict[str, Tensor]] = []
    for batch in _batches(parameters, config, exemplars, Sequences.stack(sequences), at_most):
        pieces += _batch_metrics(parameters, config, batch, rows, intervened)
    return {name: torch.cat([piece[name] for piece in pieces], 1) for name in pieces[0]}


def _batch_metrics(
    parameters: Parameters,
    config: ModelConfig,
    batch: Batch,
    rows: int,
    intervened: Intervened | None,
) -> Iterator[dict[str, Tensor]]:
    """Yield the metrics (R, n) of a batch, `rows` sequences at a time."""
    tap = intervened.tap(parameters, batch) if intervened else unchanged
    final = final_residual(parameters, config, batch.items, batch.labels, tap)
    targets = torch.as_tensor(batch.target)
    for start in range(0, final.shape[1], rows):
        own = slice(start, start + rows)
        z = tap("logits", unembed(parameters, final[:, own]))
        labels, target = batch.labels[..., own].transpose(0, 1), targets[:, own]
        flat = sequence_metrics(z.flatten(0, 1), labels.flatten(1), target.flatten())
        yield {name: each.view(target.shape) for name, each in flat.items()}


def means(metrics: dict[str, Tensor]) -> dict[str, float | None]:
    """Return the mean of each metric in float64; None where it is undefined or infinite."""
    (of_all,) = all_means([metrics])
    return of_all


def all_means(each: Sequence[dict[str, Tensor]]) -> list[dict[str, float | None]]:
    """Return the `means` of several, copied from the device at once."""
    values = [value.detach() for metrics in each for value in metrics.values()]
    if not values:
        return [{} for _ in each]
    ends = np.cumsum([len(value) for value in values])[:-1]
    parts = np.split(torch.cat(values).cpu().numpy(), ends)  # some devices have no float64
    means = iter([float(part.mean(dtype=np.float64)) for part in parts])
    by_name = [dict(zip(metrics, means, strict=False)) for metrics in each]
    return [
        {name: mean if math.isfinite(mean) else None for name, mean in own.items()}
        for own in by_name
    ]
