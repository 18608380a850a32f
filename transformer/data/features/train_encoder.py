"""Train the small encoder of our own to tell procedural glyphs apart."""

from dataclasses import dataclass, field
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
from transformer.config.plain import difference, require, require_at_least, to_dict
from transformer.data.encoders.base import images_of
from transformer.data.encoders.own import (
    CHANNELS,
    D_FEATURES,
    STRIDES,
    OwnConfig,
    own_features,
    pooled,
)
from transformer.data.exemplar_sets import load_exemplars
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import SIDE
from transformer.data.features.embed import KEY, made_on, read_provenance
from transformer.training.machine import Machine

CHUNK = 500  # drawings that are classified at once


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How the small encoder is trained: cross-entropy over glyph classes, Adam."""

    glyphs: GlyphConfig = field(
        # Other glyphs than the runs', so that their classes are new to the encoder; and steadier
        # ones: with those of the runs, Omniglot's classes were told apart less well than by pixels.
        default_factory=lambda: GlyphConfig(
            n_classes=800, seed=1_000_000, jitter=0.06, distortion=0.12
        )
    )
    n_steps: int = 1500
    batch_size: int = 128
    learning_rate: float = 2e-3
    """At first; it falls to 0 as a half cosine."""
    seed: int = 0
    """Of the initial weights and the order of drawings."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_steps", "batch_size")
        require_at_least(self, 0, "learning_rate", "seed")
        require(
            self.glyphs.n_exemplars >= 2,
            f"glyphs.n_exemplars={self.glyphs.n_exemplars}; choose at least 2, one is held out",
        )


def train_encoder(
    config: TrainingConfig, out: Path, *, device: str = "auto", threads: int | None = None
) -> dict[str, Any]:
    """Write the encoder's weights to a `.safetensors` file; what its training came to.

    A quarter of each class's drawings are held out: `accuracy` is the share of them that is told
    right.  The same file on one device with the same number of threads.
    """
    check_ending(out, ".safetensors")
    check_writable(out)
    if out.exists():
        raise UsageError(f"{out} is there already; give another name, or remove it")
    if threads is None:
        threads = torch.get_num_threads()
    machine = Machine.choose(device, threads, "eager")
    with machine.use():
        place = torch.device(machine.device)
        images = images_of(
            load_exemplars(config.glyphs).values.view(-1, SIDE, SIDE), OwnConfig()
        ).view(config.glyphs.n_classes, config.glyphs.n_exemplars, 1, SIDE, SIDE)
        n_trained = config.glyphs.n_exemplars - max(1, config.glyphs.n_exemplars // 4)
        network, head = _fit(images[:, :n_trained], config, place)
        weights = _folded(network)
        if not all(weight.isfinite().all() for weight in weights.values()):
            raise UserError("the encoder's training diverged; choose a smaller learning_rate")
        accuracy = _accuracy(weights, head, images[:, n_trained:], place)
    result = {"accuracy": accuracy, "n_classes": config.glyphs.n_classes}
    about = {"training": _identity(config), "machine": made_on(machine), "result": result}
    write_bytes(out, save(weights, {KEY: to_json(about)}))
    return result


def difference_from(config: TrainingConfig, path: Path) -> str:
    """The first setting that an encoder was trained by which is not the config's; "" for none.

    A file that is missing or damaged raises `UsageError`.
    """
    found = read_provenance(path).get("training")
    return difference({"training": found}, {"training": _identity(config)})


def _identity(config: TrainingConfig) -> dict[str, Any]:
    return to_dict(config, for_id=True)


def _fit(
    images: Tensor, config: TrainingConfig, device: torch.device
) -> tuple[nn.Sequential, nn.Linear]:
    """Network and classifier, trained on images (n_classes, n_exemplars, 1, side, side)."""
    n_classes, n_exemplars = images.shape[:2]
    order = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network, head = _network(), nn.Linear(D_FEATURES, n_classes)
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
    """Convolution, batch norm and ReLU for each layer."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in zip(CHANNELS, CHANNELS[1:], STRIDES, strict=False):
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def _folded(network: nn.Sequential) -> dict[str, Tensor]:
    """The weights with each batch norm folded into the convolution before it."""
    weights = {}
    for layer in range(len(STRIDES)):
        convolution, norm = network[3 * layer], network[3 * layer + 1]
        folded = fuse_conv_bn_eval(convolution, norm)  # pyright: ignore[reportArgumentType]
        weights[f"conv.{layer}.weight"] = folded.weight.detach().contiguous().cpu()
        weights[f"conv.{layer}.bias"] = folded.bias.detach().cpu()
    return weights


def _accuracy(
    weights: dict[str, Tensor], head: nn.Linear, images: Tensor, device: torch.device
) -> float:
    """Share of images (n_classes, n_exemplars, 1, side, side) whose class is told right."""
    on_device = {name: value.to(device) for name, value in weights.items()}
    own = torch.arange(len(images)).repeat_interleave(images.shape[1])
    told = [
        head(own_features(on_device, batch.to(device))).argmax(1).cpu()
        for batch in images.flatten(0, 1).split(CHUNK)
    ]
    return (torch.cat(told) == own).double().mean().item()
