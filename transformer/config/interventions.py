"""Base class of interventions; the kinds are in `transformer.interventions`."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from coopetition.tools.errors import UsageError
from coopetition.tools.flags import JsonTuple
from transformer.config.model import ModelConfig
from transformer.config.plain import from_named_dicts, require, to_named_dict
from transformer.config.registry import RegisteredConfig, Registry
from transformer.config.sites import live_places, places

if TYPE_CHECKING:
    from torch import Tensor

INTERVENTIONS: Registry[type["Intervention"]] = Registry(
    "intervention", "transformer.interventions"
)
"""The interventions by name; `INTERVENTIONS.register(NAME)` adds a class."""
HEAD = re.compile(r"(\d{1,6}):(\d{1,6}|\*)")


class Intervention(RegisteredConfig, JsonTuple):
    """Base of the interventions: frozen dataclasses, each a change of some activations.

    In JSON, an intervention is an object with one name, `{"Ablate": {"heads": ["0:1"]}}`.
    Places are sites by head (`transformer.config.sites`).
    """

    __slots__ = ()
    registry = INTERVENTIONS  # pyright: ignore[reportAssignmentType]
    priority: ClassVar[int] = 0
    """Lower ones act first: -1 sets what others may change, 1 reads the result."""
    in_process_only: ClassVar[bool] = False
    """Whether it has no JSON form."""
    needs_clean: ClassVar[bool] = False
    """Whether it needs the values of its sites in the model without further interventions."""
    claims: ClassVar[tuple[str, ...]] = ()
    """What no other may decide beside it, in words."""

    @classmethod
    def from_json_text(cls, text: str) -> tuple["Intervention", ...]:
        """Return interventions from JSON: an object with one name, or a list of such."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            start = text if len(text) < 80 else f"{text[:80]}..."
            raise UsageError(
                f"{start!r} is not JSON ({error}); write interventions as in "
                '{"Ablate": {"heads": ["0:0"]}}'
            ) from error
        return from_named_dicts(Intervention, plain, "interventions")

    @classmethod
    def to_json_text(cls, values: tuple["Intervention", ...]) -> str:
        """Return the inverse of `from_json_text`."""
        return json.dumps([to_named_dict(each) for each in values])

    def to_text(self) -> str:
        """Return the intervention as messages show it."""
        return json.dumps(to_named_dict(self, for_id=True))

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` unless it can act on such a model."""

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Return the names of the activations that it sees."""
        raise NotImplementedError

    def claims_in(self, model: ModelConfig) -> frozenset[str]:
        """Return what it claims in this model; two that claim the same are refused."""
        return frozenset(self.claims)

    def changes(self, model: ModelConfig) -> frozenset[str]:
        """Return the places that it changes."""
        return frozenset(place for site in self.sites(model) for place in places(site, model))

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        """Return the places whose values it replaces, each with the places that it reads for it."""
        return {}

    def replaces(self) -> tuple[str, ...]:
        """Return the parts of the model (`transformer.config.model`) that it puts out of use."""
        return ()

    @property
    def source(self) -> str:
        """The run, or a file of one, that it reads; empty for most."""
        return ""

    def relative_to(self, folder: Path) -> Self:
        """Return the same with its source in a folder."""
        return self

    def resolved(self) -> Self:
        """Return the same with its source looked up and the ids of that filled in."""
        return self

    def with_recorded_ids(self, recorded: "Intervention") -> Self:
        """Return the same with ids that it lacks taken from a resolved one."""
        return self

    def bind(
        self, config: ModelConfig, parameters: "Mapping[str, Tensor]"
    ) -> Callable[[str, "Tensor", Any], "Tensor"]:
        """Return what it does at a site: (name, value, `transformer.model.hooks.Scene`) -> value.

        Parameters
        ----------
        parameters : of the model, with a run axis; what it loads has their precision and device
        """
        return self.act

    def act(self, site: str, value: "Tensor", scene: Any) -> "Tensor":
        """Return the value that replaces an activation."""
        raise NotImplementedError


def resolve_heads(
    name: str, heads: Iterable[str], model: ModelConfig
) -> tuple[tuple[int, int], ...]:
    """Return (layer, head), sorted, for "layer:head", or "layer:*" for all heads of a layer.

    Both are counted from 0.  A head that the model lacks raises `UsageError`.
    """
    found: set[tuple[int, int]] = set()
    for text in heads:
        match = HEAD.fullmatch(text)
        layer, head = match.groups() if match else (model.n_layers, 0)
        numbers = range(model.n_heads) if head == "*" else [int(head)]
        if int(layer) >= model.n_layers or max(numbers) >= model.n_heads:
            raise UsageError(
                f"{name}: there is no head {text!r:.40}; give layer:head, from 0:0 to "
                f"{model.n_layers - 1}:{model.n_heads - 1}, or layer:* for all of a layer"
            )
        found |= {(int(layer), number) for number in numbers}
    return tuple(sorted(found))


def check_interventions(interventions: tuple[Intervention, ...], model: ModelConfig) -> None:
    """Raise `UsageError` for one that cannot act on a model, or two that contradict each other.

    Two contradict each other if both write the same, or if one has no effect beside the other.
    """
    writers: dict[str, Intervention] = {}
    for each in interventions:
        require(
            isinstance(each, Intervention),
            f"{each!r:.80} is not an intervention; give values of them",
        )
        each.check(model)
        for what in sorted(each.claims_in(model)):
            if what in writers:
                both = f"{writers[what].to_text()} and {each.to_text()}"
                raise UsageError(f"{both} both set {what}; leave one out")
            writers[what] = each
    overwritten = [(each, each.overwrites(model)) for each in interventions]
    for each in interventions:
        others = [(other, own) for other, own in overwritten if own and other is not each]
        if others and not _has_effect(each, others, model):
            beside = " and ".join(other.to_text() for other, _ in others)
            raise UsageError(f"{each.to_text()} has no effect beside {beside}; leave one out")


def _has_effect(
    each: Intervention,
    others: list[tuple[Intervention, dict[str, tuple[str, ...]]]],
    model: ModelConfig,
) -> bool:
    """Return whether the logits depend on a place that it changes and no later one overwrites."""
    overwritten = {place: read for _, own in others for place, read in own.items()}
    changed = each.changes(model)
    later = {place for other, own in others if other.priority > each.priority for place in own}
    return not changed or bool(changed & live_places(model, overwritten) - later)
