"""What figures need of the trainer, and what stands for it: kept runs, and kept tables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from paper_figures.kept import DATA
from paper_figures.sources import (
    SCALE,
    FigureRun,
    KeptTable,
    NotKeptError,
    kept_runs,
    kept_tables,
    node_of,
)
from transformer.config.scale import Scale


class Need(Protocol):
    """One thing that a figure's `draw` takes."""

    @property
    def preset(self) -> str:
        """Whose runs it is about."""
        ...

    @property
    def optional(self) -> bool:
        """Whether the figure is drawn without it too."""
        ...

    @property
    def scale(self) -> Scale | None:
        """Of what it is, whatever the figure's own; without, the figure's."""
        ...

    @property
    def node(self) -> str:
        """The pattern of what makes it, in the plan of the preset's paper."""
        ...

    def found(self, first: int | None = None, scale: Scale = SCALE, data: Path = DATA) -> list[Any]:
        """What is kept of it, a seed each, `first` first; `NotKeptError` where nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of a preset, a seed each: `draw` takes a list of `FigureRun`."""

    preset: str
    optional: bool = False
    scale: Scale | None = None

    def __str__(self) -> str:
        return self.preset

    @property
    def node(self) -> str:
        """See `Need`."""
        return node_of(self.preset)

    def found(
        self, first: int | None = None, scale: Scale = SCALE, data: Path = DATA
    ) -> list[FigureRun]:
        """See `Need`."""
        return kept_runs(self.preset, first, self.scale or scale, data)


@dataclass(frozen=True, slots=True)
class Tables:
    """What was measured of models in runs of a preset: `draw` takes a list of `KeptTable`.

    `kind` : of the sweep's nodes that measure it, see `transformer.experiments.mechanisms`
    """

    kind: str
    preset: str
    optional: bool = False
    scale: Scale | None = None

    def __str__(self) -> str:
        return f"{self.kind} of {self.preset}"

    @property
    def node(self) -> str:
        """See `Need`."""
        return node_of(self.preset, self.kind)

    def found(
        self, first: int | None = None, scale: Scale = SCALE, data: Path = DATA
    ) -> list[KeptTable]:
        """See `Need`."""
        return kept_tables(self.kind, self.preset, first, self.scale or scale, data)


def all_found(
    needs: tuple[Need, ...],
    first: int | None = None,
    scale: Scale = SCALE,
    data: Path = DATA,
) -> list[list[Any]]:
    """What is kept of each need; nothing where an optional one is not."""
    return [_found(need, first, scale, data) for need in needs]


def _found(need: Need, first: int | None, scale: Scale, data: Path) -> list[Any]:
    if not need.optional:
        return need.found(first, scale, data)
    try:
        own = need.found(None, scale, data)
    except NotKeptError:
        return []
    return sorted(own, key=lambda each: each.init_seed != first)
