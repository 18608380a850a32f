"""The nodes that make exemplars: drawings as a frozen encoder sees them, and a small encoder."""

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
from transformer.data.features.provenance import identity, identity_of, read_provenance
from transformer.sweeps.plan import Node

FEATURES, WEIGHTS = "features.safetensors", "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainEncoder(Node):
    """Our own small encoder, trained on procedural glyphs."""

    config: TrainingConfig = field(default_factory=TrainingConfig)

    @property
    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def is_done(self, runs: Path) -> bool:
        """Whether its weights are there; those of another training raise `UserError`."""
        file = runs / self.name / WEIGHTS
        if not file.exists():
            return False
        if told := self.config.difference_from(file):
            raise UserError(
                f"{file} is of another training than the plan's ({told}); move its folder away, or "
                "change the plan"
            )
        return True

    def work(self, runs: Path, device: str, threads: int) -> None:
        """Train it."""
        from transformer.data.features.train_encoder import train_encoder
        from transformer.training.machine import Machine

        machine = Machine.choose(device, threads, "eager")
        train_encoder(
            self.config, runs / self.name / WEIGHTS, device=machine.device, threads=threads
        )


@dataclass(frozen=True, kw_only=True)
class Features(Node):
    """Features of drawings, for the runs that name this node as their `exemplars`.

    With `after`, the encoder's weights are those of that node.
    """

    uses_gpu: ClassVar[bool] = True

    drawings: ExemplarConfig
    encoder: EncoderConfig
    reduction: ReductionConfig = field(default_factory=ReductionConfig)
    after: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The encoder's weights."""
        return (self.after,) if self.after else ()

    def with_exemplars(self, change: Callable[[ExemplarConfig], ExemplarConfig]) -> "Features":
        """The same with its drawings changed."""
        return replace(self, drawings=change(self.drawings))

    def check(self, nodes: Mapping[str, Node]) -> None:
        """Raise `UsageError` unless the node that it takes its encoder from trains one."""
        if self.after and not isinstance(nodes[self.after], TrainEncoder):
            raise UsageError(f"{self.name} takes its encoder from {self.after}, which trains none")
        if self.after and not hasattr(self.encoder, "weights"):
            kind = type(self.encoder).__name__
            raise UsageError(
                f"{self.name} takes its weights from {self.after}, but {kind} has its own; make "
                "its encoder OwnConfig"
            )

    def is_done(self, runs: Path) -> bool:
        """Whether the file is there.

        One of another encoder, drawings or reduction, or of other weights than those that are
        there now, raises `UserError`.
        """
        file = runs / self.name / FEATURES
        if not file.exists():
            return False
        FeatureConfig(path=str(file))  # raises unless it holds features
        found = identity_of(read_provenance(file))
        if told := difference(found, self._identity(runs, flatten(found))):
            raise UserError(
                f"{file} holds other features than the plan's ({told}); move its folder away, or "
                "put back what it was made from (each scale wants a folder of runs of its own)"
            )
        return True

    def check_installed(self) -> None:
        """Raise `UsageError` if a package of the encoder is missing."""
        self.encoder.check_installed()

    def work(self, runs: Path, device: str, threads: int) -> None:
        """Write the file, or go on with it."""
        from transformer.data.features.embed import write_features
        from transformer.training.machine import Machine

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
        """That of the plan's features; what is not there to be read is as it was found."""
        file = Path(getattr(self._encoder(runs), "weights", ""))
        weights = _hash(file, file.stat().st_mtime_ns) if file.is_file() else None
        fingerprint = getattr(self.drawings, "fingerprint", "")
        return identity(
            self.encoder,
            self.drawings,
            self.reduction,
            weights=weights or found.get("encoder.weights"),
            fingerprint=fingerprint or found.get("drawings.fingerprint"),
        )

    def _encoder(self, runs: Path) -> EncoderConfig:
        """The encoder, with the weights of the node that trains it."""
        if not self.after:
            return self.encoder
        return replace(self.encoder, weights=str(runs / self.after / WEIGHTS))


@cache
def _hash(file: Path, changed_at: int) -> str:
    """Of a file; taken once, unless the file changes."""
    return hash_of(file)
