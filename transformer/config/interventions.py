"""What an intervention is; each has its file in `transformer.interventions`."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from coopetition.tools.errors import UsageError
from coopetition.tools.one_text import InOneText
from transformer.config.model import ModelConfig
from transformer.config.plain import named, named_values
from transformer.config.registry import Kind, Registry

if TYPE_CHECKING:
    from torch import Tensor

INTERVENTIONS: Registry[type["Intervention"]] = Registry(
    "intervention", "transformer.interventions"
)
HEAD = re.compile(r"(\d+):(\d+|\*)")


class Intervention(Kind, InOneText):
    """Base of the interventions: frozen dataclasses, each a change of some activations.

    Written down it is an object with one name, `{"Ablate": {"heads": ["0:1"]}}`.
    """

    __slots__ = ()
    kinds = INTERVENTIONS  # pyright: ignore[reportAssignmentType]
    turn: ClassVar[int] = 0
    """Where several meet, lower ones act first: -1 what others may change, 1 what shows the end."""

    @classmethod
    def read_flag(cls, text: str) -> tuple["Intervention", ...]:
        """Interventions written as JSON: an object with one name, or a list of such."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            shown = text if len(text) < 80 else f"{text[:80]}..."
            raise UsageError(
                f"{shown!r} is no JSON ({error}); write interventions as in "
                '{"Ablate": {"heads": ["0:0"]}}'
            ) from error
        return named_values(Intervention, plain, "interventions")

    @classmethod
    def write_flag(cls, values: tuple["Intervention", ...]) -> str:
        """The inverse of `read_flag`."""
        return json.dumps([named(each) for each in values])

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` unless it can act on such a model."""

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Names of the activations that it sees, see `transformer.model.forward`."""
        raise NotImplementedError

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What it alone decides, in words: two that set the same contradict each other."""
        return frozenset()

    def reads(self, model: ModelConfig) -> tuple[str, ...]:
        """Activations of the model left alone that it needs."""
        return ()

    @property
    def source(self) -> str:
        """The run, or the file of one, that it takes something of; empty for most."""
        return ""

    def within(self, folder: Path) -> Self:
        """The same with its source in a folder."""
        return self

    def found(self) -> Self:
        """The same with what it refers to looked up, and its identity filled in."""
        return self

    def acting(
        self, config: ModelConfig, parameters: "Mapping[str, Tensor]"
    ) -> Callable[[str, "Tensor", Any], "Tensor"]:
        """What is done at a site: (name, value, `transformer.model.intervened.Scene`) -> value.

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
                f"{name}: there is no head {head!r}; give layer:head, from 0:0 to "
                f"{model.n_layers - 1}:{model.n_heads - 1}, or layer:* for all of a layer"
            )
        found.setdefault(int(layer), set()).update(numbers)
    return {layer: sorted(numbers) for layer, numbers in sorted(found.items())}


def check_interventions(interventions: tuple[Intervention, ...], model: ModelConfig) -> None:
    """Raise `UsageError` for one that cannot act on such a model, or two that contradict."""
    by: dict[str, Intervention] = {}
    for each in interventions:
        each.check(model)
        for what in sorted(each.sets(model)):
            if what in by:
                raise UsageError(
                    f"{_shown(by[what])} and {_shown(each)} both set {what}; leave one out"
                )
            by[what] = each


def _shown(intervention: Intervention) -> str:
    return json.dumps(named(intervention, leave_out="no identity"))
