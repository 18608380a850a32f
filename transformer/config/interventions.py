"""What an intervention is; each has its file in `transformer.interventions`."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from coopetition.tools.commands import JsonTuple
from coopetition.tools.errors import UsageError
from transformer.config.model import ModelConfig
from transformer.config.plain import from_named_dicts, require, to_named_dict
from transformer.config.registry import RegisteredConfig, Registry

if TYPE_CHECKING:
    from torch import Tensor

INTERVENTIONS: Registry[type["Intervention"]] = Registry(
    "intervention", "transformer.interventions"
)
HEAD = re.compile(r"(\d{1,6}):(\d{1,6}|\*)")
HEADED = ("q", "k", "v", "attn_scores", "pattern", "z")  # sites that heads have each for itself


class Intervention(RegisteredConfig, JsonTuple):
    """Base of the interventions: frozen dataclasses, each a change of some activations.

    Written down it is an object with one name, `{"Ablate": {"heads": ["0:1"]}}`.
    """

    __slots__ = ()
    registry = INTERVENTIONS  # pyright: ignore[reportAssignmentType]
    priority: ClassVar[int] = 0
    """Where several meet, lower ones act first: -1 what others may change, 1 what shows the end."""

    @classmethod
    def from_json_text(cls, text: str) -> tuple["Intervention", ...]:
        """Interventions written as JSON: an object with one name, or a list of such."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            shown = text if len(text) < 80 else f"{text[:80]}..."
            raise UsageError(
                f"{shown!r} is no JSON ({error}); write interventions as in "
                '{"Ablate": {"heads": ["0:0"]}}'
            ) from error
        return from_named_dicts(Intervention, plain, "interventions")

    @classmethod
    def to_json_text(cls, values: tuple["Intervention", ...]) -> str:
        """The inverse of `from_json_text`."""
        return json.dumps([to_named_dict(each) for each in values])

    in_process_only: ClassVar[bool] = False
    """Whether it cannot be written down."""

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` unless it can act on such a model."""

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Names of the activations that it sees, see `transformer.model.transformer`."""
        raise NotImplementedError

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What it alone decides, in words: two that set the same contradict each other."""
        return frozenset()

    def touches(self, model: ModelConfig) -> frozenset[str]:
        """The `places` that it changes."""
        return places(self.sites(model), model)

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """The `places` of which nothing is left: another that touches these alone is refused."""
        return frozenset()

    def replaces(self) -> tuple[str, ...]:
        """Parts of the model (`transformer.config.model`) that have no say: they do not move."""
        return ()

    def reads(self, model: ModelConfig) -> tuple[str, ...]:
        """Activations of the model left alone that it needs."""
        return ()

    def to_text(self) -> str:
        """For a message."""
        return json.dumps(to_named_dict(self, for_id=True))

    @property
    def source(self) -> str:
        """The run, or the file of one, that it takes something of; empty for most."""
        return ""

    def relative_to(self, folder: Path) -> Self:
        """The same with its source in a folder."""
        return self

    def resolved(self) -> Self:
        """The same with what it refers to looked up, and its identity filled in."""
        return self

    def with_recorded_ids(self, found: "Intervention") -> Self:
        """The same with that identity as it is in one that was looked up before."""
        return self

    def acting(
        self, config: ModelConfig, parameters: "Mapping[str, Tensor]"
    ) -> Callable[[str, "Tensor", Any], "Tensor"]:
        """What is done at a site: (name, value, `transformer.model.hooks.Scene`) -> value.

        Parameters
        ----------
        parameters : the model's, with a run axis; what it loads itself is to be like them
        """
        return self.act

    def act(self, site: str, value: "Tensor", scene: Any) -> "Tensor":
        """What is there instead of a value."""
        raise NotImplementedError


def heads_by_layer(name: str, heads: tuple[str, ...], model: ModelConfig) -> dict[int, list[int]]:
    """Heads by layer, of "layer:head", "layer:*" for all; `UsageError` for one that is not there.

    Layers and heads are counted from 0.
    """
    found: dict[int, set[int]] = {}
    for head in heads:
        match = HEAD.fullmatch(head)
        layer, number = match.groups() if match else (model.n_layers, 0)
        numbers = range(model.n_heads) if number == "*" else [int(number)]
        if int(layer) >= model.n_layers or max(numbers) >= model.n_heads:
            raise UsageError(
                f"{name}: there is no head {head!r:.40}; give layer:head, from 0:0 to "
                f"{model.n_layers - 1}:{model.n_heads - 1}, or layer:* for all of a layer"
            )
        found.setdefault(int(layer), set()).update(numbers)
    return {layer: sorted(numbers) for layer, numbers in sorted(found.items())}


def places(sites: Iterable[str], model: ModelConfig) -> frozenset[str]:
    """Sites, those that heads have each for itself as `blocks.0.z of 0:3`."""
    found = set()
    for site in sites:
        _, _, within = site.partition("blocks.")
        layer, _, name = within.partition(".")
        each = range(model.n_heads) if name in HEADED else ()
        found |= {f"{site} of {layer}:{head}" for head in each} or {site}
    return frozenset(found)


def check_interventions(interventions: tuple[Intervention, ...], model: ModelConfig) -> None:
    """Raise `UsageError` for one that cannot act on such a model, or two that contradict.

    Two contradict if both set the same, or one leaves nothing of what the other changes.
    """
    by: dict[str, Intervention] = {}
    for each in interventions:
        require(
            isinstance(each, Intervention), f"{each!r:.80} is no intervention; give values of them"
        )
        each.check(model)
        for what in sorted(each.sets(model)):
            if what in by:
                both = f"{by[what].to_text()} and {each.to_text()}"
                raise UsageError(f"{both} both set {what}; {ONE}")
            by[what] = each
    hidden = [(each, each.hides(model)) for each in interventions]
    for each in interventions:
        others = [(other, gone) for other, gone in hidden if other is not each and gone]
        touched = each.touches(model)
        if others and touched and touched <= frozenset().union(*(gone for _, gone in others)):
            other = next(other for other, gone in others if touched & gone)
            raise UsageError(
                f"{each.to_text()} has no effect: {other.to_text()} leaves nothing of what it "
                f"changes; {ONE}"
            )


ONE = "leave one out"
