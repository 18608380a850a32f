"""A model under interventions: what they see of a pass, and the tap that applies them.

Inside a pass, tokens come before the batch.  To look at, or to change by a function of one's own,
one run's activations have the batch first.  `transformer.config.sites` has both shapes.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention, check_interventions
from transformer.config.sites import site_of
from transformer.model.parameters import Parameters
from transformer.model.transformer import Batch, Tap, final_residual, unchanged


def outward(name: str, value: Tensor, batch: int) -> Tensor:
    """Return one run's activation with the batch first, as a view."""
    site = site_of(name)
    if "(" in site.inside:
        value = value.unflatten(0, (-1, batch))
    axes = site.inside.replace("(", "").replace(")", "").split()
    return value.permute([axes.index(axis) for axis in site.outside.split()])


def inward(name: str, value: Tensor) -> Tensor:
    """Return the inverse of `outward`."""
    site = site_of(name)
    axes = site.inside.replace("(", "").replace(")", "").split()
    value = value.permute([site.outside.split().index(axis) for axis in axes])
    return value.flatten(0, 1) if "(" in site.inside else value


Act = Callable[[str, Tensor, "Scene"], Tensor]


@dataclass(frozen=True, slots=True)
class Scene:
    """Context of an intervention: the model, the batch, and the pass so far.

    Activations have their inside shapes, with a run axis.
    """

    config: ModelConfig
    parameters: Parameters
    batch: Batch
    every_row: bool = False
    """Whether the last layer is computed for all tokens."""
    clean: Mapping[str, Tensor] = field(default_factory=dict)
    """Activations of the model without further interventions, those that one of them needs."""
    seen: dict[str, Tensor] = field(default_factory=dict)
    """Activations of this pass that an intervention keeps for a later site."""

    @property
    def features(self) -> Tensor:
        """The features (R, C + 1, B, D), the query's last."""
        return self.batch.features

    @property
    def labels(self) -> Tensor:
        """The labels in context (R, C, B)."""
        return self.batch.labels

    @property
    def target(self) -> Tensor:
        """The query's label (R, B); `UsageError` where it is not known."""
        if self.batch.target is None:
            raise UsageError("an intervention needs the query's label; give `target` too")
        return self.batch.target


class Intervened:
    """The interventions of runs that are computed together, prepared for their model.

    Parameters
    ----------
    of_runs : those of each run; one that several share acts once, on all of these
    parameters : the runs', for sizes, precision and device
    alone : what the models are computed under where they are left alone: their own interventions,
        if `of_runs` adds further ones

    Attributes
    ----------
    acted : how often each has acted
    """

    def __init__(
        self,
        of_runs: Sequence[tuple[Intervention, ...]],
        config: ModelConfig,
        parameters: Parameters,
        alone: "Intervened | None" = None,
    ) -> None:
        for each in of_runs:
            check_interventions(each, config)
        together = dict.fromkeys(each for of_run in of_runs for each in of_run)
        self.acted: Counter[Intervention] = Counter()
        self._acts: dict[str, list[tuple[Act, Tensor | None, Intervention]]] = {}
        self._clean: set[str] = set()
        for intervention in sorted(together, key=lambda each: each.priority):
            runs = [intervention in of_run for of_run in of_runs]
            device = parameters["W_U"].device
            where = None if all(runs) else torch.tensor(runs, device=device)
            act = intervention.bind(config, parameters)
            for site in intervention.sites(config):
                self._acts.setdefault(site, []).append((act, where, intervention))
                if intervention.needs_clean:
                    self._clean.add(site)
        self._config, self._alone = config, alone

    def __len__(self) -> int:
        """Return the number of sites at which interventions act."""
        return len(self._acts)

    def tap(
        self,
        parameters: Parameters,
        batch: Batch,
        *,
        then: Tap = unchanged,
        every_row: bool = False,
    ) -> Tap:
        """Return the tap of one pass over a batch; `then` sees its result."""
        clean: dict[str, Tensor] = {}
        if self._clean:

            def keep(name: str, value: Tensor) -> Tensor:
                if name in self._clean:
                    clean[name] = value
                return value

            left_alone = keep
            if self._alone:
                left_alone = self._alone.tap(parameters, batch, then=keep, every_row=every_row)
            final_residual(
                parameters,
                self._config,
                batch.items,
                batch.labels,
                left_alone,
                every_row=every_row,
            )
        scene = Scene(self._config, parameters, batch, every_row, clean)

        def tap(name: str, value: Tensor) -> Tensor:
            for act, where, intervention in self._acts.get(name, ()):
                acted = act(name, value, scene)
                if not torch.compiler.is_compiling():
                    self.acted[intervention] += 1
                if where is not None:
                    acted = torch.where(where.view(-1, *[1] * (value.dim() - 1)), acted, value)
                value = acted
            return then(name, value)

        return tap
