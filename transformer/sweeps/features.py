"""Nodes that make features of drawings, and the encoder for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from coopetition.tools.errors import UsageError, UserError
from transformer.config.data import ExemplarConfig
from transformer.config.encoders import EncoderConfig, ReductionConfig
from transformer.config.plain import difference, flatten
from transformer.data.encoders.base import hash_of
from transformer.data.encoders.own import TrainingConfig
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.features.embed import write_features
from transformer.data.features.provenance import identity, identity_of, read_provenance
from transformer.data.features.train_encoder import train_encoder
from transformer.sweeps.plan import Node
from transformer.training.machine import Machine

FEATURES, WEIGHTS = "features.safetensors", "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainEncoder(Node):
    """The small encoder of this package, trained on procedural glyphs."""

    config: TrainingConfig = field(default_factory=TrainingConfig)

    def is_done(self, runs: Path) -> bool:
        """Return whether its weights are there; those of another training raise `UserError`."""
        file = runs / self.name / WEIGHTS
        if not file.exists():
            return False
        if found := self.config.difference_from(file):
            raise UserError(
                f"{file} is of another training than the plan's ({found}); move its folder away, "
                "or change the plan"
            )
        return True

    def execute(self, runs: Path, device: str, threads: int) -> None:
        device = Machine.choose(device, threads, "eager").device
        train_encoder(self.config, runs / self.name / WEIGHTS, device=device, threads=threads)


@dataclass(frozen=True, kw_only=True)
class Features(Node):
    """Features of drawings, for the runs that name this node as their `exemplars`.

    With `after`, the encoder has the weights of that node.
    """

    uses_gpu: ClassVar[bool] = True

    drawings: ExemplarConfig
    encoder: EncoderConfig
    reduction: ReductionConfig = field(default_factory=ReductionConfig)
    after: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.after,) if self.after else ()

    def with_exemplars(self, change: Callable[[ExemplarConfig], ExemplarConfig]) -> "Features":
        return replace(self, drawings=change(self.drawings))

    def check(self, nodes: Mapping[str, Node]) -> None:
        if self.after and not isinstance(nodes[self.after], TrainEncoder):
            raise UsageError(f"{self.name} takes its encoder from {self.after}, which trains none")
        if self.after and not hasattr(self.encoder, "weights"):
            kind = type(self.encoder).__name__
            raise UsageError(
                f"{self.name} takes weights from {self.after}, but {kind} has its own; make its "
                "encoder OwnConfig"
            )

    def is_done(self, runs: Path) -> bool:
        """Return whether the file is there.

        A file of another encoder, other drawings, another reduction, or other weights than are
        there now raises `UserError`.
        """
        file = runs / self.name / FEATURES
        if not file.exists():
            return False
        FeatureConfig(path=str(file))  # raises unless it holds features
        found = identity_of(read_provenance(file))
        if differing := difference(found, self._identity(runs, flatten(found))):
            raise UserError(
                f"{file} holds other features than the plan's ({differing}); move its folder away, "
                "or restore what it was made from (use a folder of runs for each scale)"
            )
        return True

    def check_installed(self) -> None:
        self.encoder.check_installed()

    def execute(self, runs: Path, device: str, threads: int) -> None:
        file = runs / self.name / FEATURES
        file.parent.mkdir(parents=True, exist_ok=True)
        write_features(
            self.drawings,
            self._encoder(runs),
            file,
            reduction=self.reduction,
            device=Machine.choose(device, threads, "eager").device,
            threads=threads,
        )

    def _identity(self, runs: Path, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the identity of the plan's features; what cannot be read now is as found."""
        file = Path(getattr(self._encoder(runs), "weights", ""))
        weights = _file_hash(file, file.stat().st_mtime_ns) if file.is_file() else None
        fingerprint = getattr(self.drawings, "fingerprint", "")
        return identity(
            self.encoder,
            self.drawings,
            self.reduction,
            weights=weights or found.get("encoder.weights"),
            fingerprint=fingerprint or found.get("drawings.fingerprint"),
        )

    def _encoder(self, runs: Path) -> EncoderConfig:
        """Return the encoder, with the weights of the node that trains it."""
        if not self.after:
            return self.encoder
        return replace(self.encoder, weights=str(runs / self.after / WEIGHTS))


@cache
def _file_hash(file: Path, modified_ns: int) -> str:
    """Return the hash of a file; it is computed again only after a change."""
    return hash_of(file)
