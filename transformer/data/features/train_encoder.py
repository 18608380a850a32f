"""Training of the small encoder to classify procedural glyphs."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import check_ending, check_writable, to_json, write_bytes
from transformer.config.plain import to_dict
from transformer.data.drawings import SIDE
from transformer.data.encoders.base import images_of
from transformer.data.encoders.own import OwnConfig, TrainingConfig
from transformer.data.exemplar_sets import load_exemplars
from transformer.data.features.embed import machine_table
from transformer.data.features.networks import (
    D_OWN,
    OWN_CHANNELS,
    OWN_STRIDES,
    OwnNetwork,
    pooled,
)
from transformer.data.features.provenance import KEY
from transformer.data.torch_settings import torch_settings

CHUNK = 500  # drawings classified at once


def train_encoder(
    config: TrainingConfig, out: Path, *, device: str = "cpu", threads: int | None = None
) -> dict[str, Any]:
    """Write the encoder's weights to a `.safetensors` file; return accuracy and number of classes.

    `accuracy` is the share of held-out drawings, a quarter of each class, that are classified
    correctly.  One device and number of threads always give the same file.

    Parameters
    ----------
    device : name of a torch device
    threads : CPU threads (default: torch's)
    """
    check_ending(out, ".safetensors")
    check_writable(out)
    if out.exists():
        raise UsageError(f"{out} exists; give another name, or remove it")
    threads = torch.get_num_threads() if threads is None else threads
    with torch_settings(threads):
        place, glyphs = torch.device(device), config.glyphs
        images = images_of(load_exemplars(glyphs).values.view(-1, SIDE, SIDE), OwnConfig())
        images = images.view(glyphs.n_classes, glyphs.n_exemplars, 1, SIDE, SIDE)
        n_trained = glyphs.n_exemplars - max(1, glyphs.n_exemplars // 4)
        network, head = _fit(images[:, :n_trained], config, place)
        weights = _folded_weights(network)
        if not all(weight.isfinite().all() for weight in weights.values()):
            raise UserError("the encoder's training diverged; choose a smaller learning_rate")
        encoder = OwnNetwork()
        encoder.load_state_dict(weights)
        accuracy = _accuracy(encoder.to(place), head, images[:, n_trained:], place)
    result = {"accuracy": accuracy, "n_classes": glyphs.n_classes}
    about = {
        "training": to_dict(config, for_id=True),
        "machine": machine_table(device, threads),
        "result": result,
    }
    write_bytes(out, save(weights, {KEY: to_json(about)}))
    return result


def _fit(
    images: Tensor, config: TrainingConfig, device: torch.device
) -> tuple[nn.Sequential, nn.Linear]:
    """Train network and classifier on images (n_classes, n_exemplars, 1, side, side)."""
    n_classes, n_exemplars = images.shape[:2]
    order = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network, head = _network(), nn.Linear(D_OWN, n_classes)
    network.to(device)
    head.to(device)
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.n_steps)
    flat = images.flatten(0, 1)
    with ProgressReport("train the encoder", config.n_steps, "steps") as progress:
        for _ in range(config.n_steps):
            index = torch.randint(len(flat), (config.batch_size,), generator=order)
            batch = flat[index].to(device, memory_format=torch.channels_last)
            target = (index // n_exemplars).to(device)
            loss = F.cross_entropy(head(pooled(network(batch))), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            progress.advance()
    return network.eval().requires_grad_(False), head.requires_grad_(False)


def _network() -> nn.Sequential:
    """Return a network with convolution, batch norm and ReLU in each layer."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in zip(OWN_CHANNELS, OWN_CHANNELS[1:], OWN_STRIDES, strict=False):
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def _folded_weights(network: nn.Sequential) -> dict[str, Tensor]:
    """Return the weights with each batch norm folded into the convolution before it."""
    weights = {}
    for layer in range(len(OWN_STRIDES)):
        convolution, norm = network[3 * layer], network[3 * layer + 1]
        folded = fuse_conv_bn_eval(convolution, norm)  # pyright: ignore[reportArgumentType]
        weights[f"conv.{layer}.weight"] = folded.weight.detach().contiguous().cpu()
        weights[f"conv.{layer}.bias"] = folded.bias.detach().cpu()
    return weights


@torch.no_grad()
def _accuracy(encoder: OwnNetwork, head: nn.Linear, images: Tensor, device: torch.device) -> float:
    """Return the share of images (n_classes, n_exemplars, 1, side, side) classified correctly."""
    own = torch.arange(len(images)).repeat_interleave(images.shape[1])
    predicted = [
        head(encoder(batch.to(device))).argmax(1).cpu()
        for batch in images.flatten(0, 1).split(CHUNK)
    ]
    return (torch.cat(predicted) == own).double().mean().item()
