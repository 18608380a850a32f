"""Timing of training steps: a step that can be repeated, and waiting for a device."""

import statistics
import time
from collections.abc import Callable

import torch

from transformer.training.optimisers import step_numbers
from transformer.training.step import TrainState


def repeated_step(
    train_state: TrainState, *, context: int, d_features: int, n_labels: int, batch_size: int
) -> Callable[[], object]:
    """One call is one step of all runs of a train state, always on the same random batch."""
    generator = torch.Generator().manual_seed(0)
    n_runs = len(train_state.loss_sum)
    shape = (n_runs, context + 1, batch_size, d_features)
    features = torch.randn(shape, generator=generator, dtype=train_state.dtype)
    labels = torch.randint(n_labels, (n_runs, context, batch_size), generator=generator)
    each = torch.tensor([step_numbers(train_state.optim, 1)] * n_runs, dtype=train_state.dtype)
    numbers = each.mT.contiguous()
    batch = [
        tensor.to(train_state.device)
        for tensor in (features, labels, labels[:, 0].contiguous(), numbers)
    ]
    return lambda: train_state.step(*batch)


def seconds_of(function: Callable[[], object], device: torch.device) -> float:
    """Seconds that one call takes, with the device's work done."""
    start = time.perf_counter()
    function()
    wait(device)
    return time.perf_counter() - start


def median_seconds(function: Callable[[], object], device: torch.device, at_least: float) -> float:
    """Median seconds of a call, over calls that take `at_least` so many together."""
    times: list[float] = []
    while sum(times) < at_least:
        times.append(seconds_of(function, device))
    return statistics.median(times)


def wait(device: torch.device) -> None:
    """Until all work on a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
