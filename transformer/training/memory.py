"""What a train state takes, before it is made."""

import math
import os

import torch

from coopetition.tools.errors import UsageError
from transformer.config import RunConfig
from transformer.model.parameters import parameter_shapes
from transformer.training.optimisers import moment_names


def parameter_count(config: RunConfig, d_features: int) -> int:
    """Numbers that one run trains."""
    shapes = parameter_shapes(
        config.model,
        context=config.data.context,
        d_features=d_features,
        n_labels=config.data.exemplars.n_classes,
    )
    return sum(map(math.prod, shapes.values()))


def state_bytes(configs: list[RunConfig], d_features: int) -> int:
    """What parameters, their gradients and the optimiser's moments take, of all runs."""
    config = configs[0]
    width = 8 if config.precision == "float64" else 4
    copies = 2 + len(moment_names(config.optim))
    return len(configs) * copies * width * parameter_count(config, d_features)


def check_memory(configs: list[RunConfig], d_features: int, device: str) -> None:
    """Raise `UsageError` for runs that do not fit the device's memory, which would only hang."""
    needed, there = state_bytes(configs, d_features), _memory(torch.device(device))
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
