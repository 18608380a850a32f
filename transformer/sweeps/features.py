"""The nodes that make exemplars: drawings as a frozen encoder sees them, and a small encoder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError
from transformer.config import to_dict
from transformer.config.encoders import EncoderConfig
from transformer.config.exemplars import ExemplarConfig
from transformer.data.embed import write_features
from transformer.data.provenance import difference, flat, read_provenance
from transformer.data.reduction import ReductionConfig
from transformer.data.train_encoder import TrainingConfig, train_encoder
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
        """Whether its weights are there."""
        return (runs / self.name / WEIGHTS).exists()

    def work(self, runs: Path, device: str, threads: int) -> None:
        """Train it."""
        train_encoder(self.config, runs / self.name / WEIGHTS, device=device, threads=threads)


@dataclass(frozen=True, kw_only=True)
class Features(Node):
    """Features of drawings, for the runs that name this node as their `exemplars`.

    With `after`, the encoder's weights are those of that node.
    """

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

    def is_done(self, runs: Path) -> bool:
        """Whether the file is there."""
        file = runs / self.name / FEATURES
        if not file.exists():
            return False
        wanted: dict[str, Any] = {
            "encoder": _named(self.encoder),
            "drawings": _named(self.drawings),
            "reduction": to_dict(self.reduction, leave_out="no identity"),
        }
        there, expected = flat(read_provenance(file)), flat(wanted)
        found = {name: there.get(name) for name in expected}
        if found != expected:
            raise UserError(
                f"{file} holds other features than the plan's ({difference(found, wanted)}); move "
                "its folder away, or change the plan"
            )
        return True

    def work(self, runs: Path, device: str, threads: int) -> None:
        """Write the file, or go on with it."""
        encoder = self.encoder
        if self.after:
            encoder = replace(encoder, weights=str(runs / self.after / WEIGHTS))
        file = runs / self.name / FEATURES
        file.parent.mkdir(parents=True, exist_ok=True)
        write_features(
            self.drawings, encoder, file, reduction=self.reduction, device=device, threads=threads
        )


def _named(config: EncoderConfig | ExemplarConfig) -> dict[str, Any]:
    """A config as provenance has it, but for what is filled in when it is read."""
    table = to_dict(config, leave_out="no identity") | {"kind": type(config).__name__}
    return {name: value for name, value in table.items() if name != "fingerprint"}
