"""Sites: the activations that a pass names, and the shapes in which people see them.

Inside, tokens come before the batch (`model.forward`).  To look at, or to change by a function of
one's own, one run's activations have the batch first; Q is T but for the last layer of a plain
pass, where the query's row alone is computed.

| name                                       | shape   |
|--------------------------------------------|---------|
| embed                                      | B T d   |
| blocks.l.resid_pre, .attn_out, .resid_post | B Q d   |
| blocks.l.mlp                               | B Q m   |
| blocks.l.q, .k, .v                         | B T H h |
| blocks.l.attn_scores, .pattern             | B H Q T |
| blocks.l.z                                 | B Q H h |
| ln_final                                   | B d     |
| logits                                     | B N     |

The model under interventions: what they see of a pass, and the tap that they are together.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import Intervention, check_interventions
from transformer.model.parameters import Parameters
from transformer.model.transformer import Tap, final_residual, unchanged

# which axes of one run's activation are seen in turn; a residual's tokens and batch are one axis
_AXES: dict[str, tuple[int, ...]] = {
    "embed": (1, 0, 2),
    **dict.fromkeys(("q", "k", "v", "z"), (3, 2, 0, 1)),
    **dict.fromkeys(("attn_scores", "pattern"), (3, 0, 1, 2)),
    **dict.fromkeys(("ln_final", "logits"), (0, 1)),
}
ATTENTION = ("resid_pre", "q", "k", "v", "attn_scores", "pattern", "z", "attn_out")


def site_names(config: ModelConfig) -> tuple[str, ...]:
    """All sites of a model, in the order of a pass."""
    of_block = (*ATTENTION, *(["mlp"] if config.d_mlp else []), "resid_post")
    blocks = [f"blocks.{layer}.{name}" for layer in range(config.n_layers) for name in of_block]
    return ("embed", *blocks, "ln_final", "logits")


def matching_sites(patterns: tuple[str, ...], config: ModelConfig) -> tuple[str, ...]:
    """Sites that patterns such as `blocks.*.z` name; one that matches none raises `UsageError`."""
    names = site_names(config)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"no site is called {pattern!r}; choose of {', '.join(names)}, or a pattern "
                "such as blocks.*.z"
            )
    return tuple(n for n in names if any(fnmatchcase(n, pattern) for pattern in patterns))


def outward(name: str, value: Tensor, batch: int) -> Tensor:
    """One run's activation, the batch first: a view."""
    axes = _AXES.get(name.rpartition(".")[2])
    if axes is None:
        return value.unflatten(0, (-1, batch)).transpose(0, 1)
    return value.permute(axes)


def inward(name: str, value: Tensor) -> Tensor:
    """The inverse of `outward`."""
    axes = _AXES.get(name.rpartition(".")[2])
    if axes is None:
        return value.transpose(0, 1).flatten(0, 1)
    return value.permute(*(axes.index(axis) for axis in range(len(axes))))


Act = Callable[[str, Tensor, "Scene"], Tensor]


@dataclass(frozen=True, slots=True)
class Scene:
    """What an intervention may look at: the model, the batch, and this pass until now.

    Shapes as in `transformer.model.transformer`.
    """

    config: ModelConfig
    parameters: Parameters
    features: Tensor
    """(R, C + 1, B, D), the query's last."""
    items: Tensor
    """(R, C + 1, B, d): the features, encoded."""
    labels: Tensor
    """(R, C, B), of the context."""
    given_target: Tensor | None
    """(R, B): the query's label, if it is known."""
    every_row: bool = False
    """Whether the last layer is computed for all tokens."""
    clean: Mapping[str, Tensor] = field(default_factory=dict)
    """Activations of the model left alone, those that the interventions read."""
    seen: dict[str, Tensor] = field(default_factory=dict)
    """Activations of this pass that an intervention keeps for a later site."""

    @property
    def target(self) -> Tensor:
        """(R, B): the query's label; `UsageError` where it is not known."""
        if self.given_target is None:
            raise UsageError("an intervention wants the query's label; give `target` too")
        return self.given_target


class Intervened:
    """The interventions of runs that are computed together, made ready for their model.

    Parameters
    ----------
    of_runs : those of each run; one that several share acts once, on all of these
    parameters : the runs', for sizes, precision and device
    alone : what the models are computed under where they are left alone: their own, if these are
        further ones

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
        together = list(dict.fromkeys(each for of_run in of_runs for each in of_run))
        self.acted: Counter[Intervention] = Counter()
        self._acts: dict[str, list[tuple[Act, Tensor | None, Intervention]]] = {}
        self._reads: set[str] = set()
        for intervention in sorted(together, key=lambda each: each.priority):
            runs = torch.tensor([intervention in of_run for of_run in of_runs])
            act = intervention.acting(config, parameters)
            where = None if runs.all() else runs.to(parameters["W_U"].device)
            self._reads |= {*intervention.reads(config)}
            for site in intervention.sites(config):
                self._acts.setdefault(site, []).append((act, where, intervention))
        self._config, self._alone = config, alone

    def tap(
        self,
        parameters: Parameters,
        features: Tensor,
        items: Tensor,
        labels: Tensor,
        target: Tensor | None,
        *,
        then: Tap = unchanged,
        every_row: bool = False,
    ) -> Tap:
        """The tap of one pass over a batch, see `Scene`; `then` sees what comes of it."""
        config = self._config
        clean: dict[str, Tensor] = {}
        if self._reads:

            def keep(name: str, value: Tensor) -> Tensor:
                if name in self._reads:
                    clean[name] = value
                return value

            left_alone = keep
            if self._alone:
                left_alone = self._alone.tap(
                    parameters, features, items, labels, target, then=keep, every_row=every_row
                )
            final_residual(parameters, config, items, labels, left_alone, every_row=every_row)
        scene = Scene(config, parameters, features, items, labels, target, every_row, clean)

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
