"""What a run takes of memory and disk, before it is made."""

import math
import os
from dataclasses import replace

import torch

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.model.parameters import Shapes, parameter_shapes, running_shapes
from transformer.training.step import moment_names

MOST_TENSORS = 20_000  # a step of so many takes ten seconds, whatever their sizes
TENSOR_S = 5e-4  # seconds of a plain step a tensor, on a core of 2026


def trained_shapes(config: RunConfig, d_features: int) -> Shapes:
    """Shapes of the parameters that a run trains."""
    return parameter_shapes(
        config.model,
        context=config.data.context,
        d_features=d_features,
        n_labels=config.data.exemplars.n_classes,
    )


def all_shapes(config: RunConfig, d_features: int) -> Shapes:
    """Shapes of a run's parameters, running statistics among them."""
    return trained_shapes(config, d_features) | running_shapes(config.model)


def number_count(shapes: Shapes) -> int:
    """Numbers in tensors of these shapes."""
    return sum(map(math.prod, shapes.values()))


def state_bytes(configs: list[RunConfig], d_features: int) -> int:
    """What parameters, their gradients and the optimiser's moments take, of all runs."""
    config = configs[0]
    copies = 2 + len(moment_names(config.optim))
    trained = number_count(trained_shapes(config, d_features))
    return len(configs) * copies * _width(config) * trained


def batch_bytes(configs: list[RunConfig], d_features: int) -> int:
    """What the features of a step's batches take, of all runs; activations come on top."""
    data = configs[0].data
    return len(configs) * data.batch_size * (data.context + 1) * d_features * _width(configs[0])


def disk_bytes(config: RunConfig, d_features: int) -> int:
    """What a run's checkpoints take when it is done, but for headers of some KiB each."""
    weights, state = config.keep
    n_weights = n_made = config.checkpoint_count()
    if weights != "all":
        n_weights = min(n_made, int(weights) + len(config.checkpoint_at))
    n_states = 1 if state == "last" else n_weights
    numbers, width = number_count(all_shapes(config, d_features)), _width(config)
    moments = len(moment_names(config.optim)) * number_count(trained_shapes(config, d_features))
    of_state = (numbers + moments) * width
    of_weights = numbers * (2 if config.keep_half else width)
    return n_weights * of_weights + n_states * of_state


def _width(config: RunConfig) -> int:
    """Bytes of a parameter."""
    return 8 if config.precision == "float64" else 4


def tensor_count(config: RunConfig) -> int:
    """Tensors that one run trains, counted without a list of them all."""

    def of_layers(n_layers: int) -> int:
        model = replace(config.model, n_layers=n_layers)
        return len(parameter_shapes(model, context=1, d_features=1, n_labels=1))

    return of_layers(1) + (config.model.n_layers - 1) * (of_layers(2) - of_layers(1))


def check_size(configs: list[RunConfig], d_features: int, device: str) -> None:
    """Raise `UsageError` for runs that would only hang.

    They do not fit the device's memory, or a model has too many tensors.
    """
    n_tensors = tensor_count(configs[0])
    if n_tensors > MOST_TENSORS:
        raise UsageError(
            f"the model has {n_tensors:,} tensors, so that one step would take some "
            f"{n_tensors * TENSOR_S:,.0f} s; choose a smaller "
            f"model.n_layers than {configs[0].model.n_layers}"
        )
    there = _memory(torch.device(device))
    batch = batch_bytes(configs, d_features)
    if batch > there:
        raise UsageError(
            f"the batches of a step take {batch / 2**30:,.1f} GiB, and {device} has "
            f"{there / 2**30:.1f}; choose a smaller data.batch_size than "
            f"{configs[0].data.batch_size:,}"
        )
    needed = state_bytes(configs, d_features)
    if needed > there:
        raise UsageError(
            f"parameters, gradients and moments take {needed / 2**30:.1f} GiB, and {device} has "
            f"{there / 2**30:.1f}; choose fewer runs, or a smaller model.n_layers, model.d_model "
            "or data.exemplars.n_classes"
        )


def _memory(device: torch.device) -> float:
    """Bytes of a device's memory; unknown counts as endless."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return math.inf
