"""A function of one's own, at sites by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention
from transformer.model.intervened import Scene
from transformer.model.sites import inward, matching_sites, outward


@dataclass(frozen=True, kw_only=True)
class At(Intervention):
    """A function `(name, value, scene) -> value` at sites by name or pattern, as `blocks.*.z`.

    Values have the batch first, see `transformer.model.sites`; what comes back must have the
    shape of what came: of one token in the last layer of a plain pass, of all with
    `run_with_cache`.  It acts after those that stand before it.  It is no value that can be written
    down: it acts in this process only, and is refused in a config.
    """

    in_process_only: ClassVar[bool] = True
    names: tuple[str, ...]
    function: Callable[[str, Tensor, Scene], Tensor]

    def __post_init__(self) -> None:
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        object.__setattr__(self, "names", names)
        if not names:
            raise UsageError("At names no sites; give some, as in blocks.0.z")

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` for a name that no site has."""
        matching_sites(self.names, model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Those that its names match."""
        return matching_sites(self.names, model)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """Its sites by this function, so that it does not stand there twice."""
        return frozenset(f"{site} by {self.function!r}" for site in self.sites(model))

    def shown(self) -> str:
        """For a message."""
        return f"At {', '.join(self.names)}"

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """What the function gives, for each run."""
        batch, runs = scene.labels.shape[-1], []
        for of_run in value:
            seen = outward(site, of_run, batch)
            changed = self.function(site, seen, scene)
            if not isinstance(changed, Tensor) or changed.shape != seen.shape:
                shape = getattr(changed, "shape", None)
                came = type(changed).__name__ if shape is None else f"{(*shape,)}"
                came += "" if isinstance(changed, Tensor) else " that is no tensor"
                raise UsageError(f"At {site}: the function gave {came}; expected {(*seen.shape,)}")
            runs.append(inward(site, changed))
        return torch.stack(runs)
