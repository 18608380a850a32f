"""What interventions on chosen heads have in common.

What interventions on attention to the previous token have in common.

The row of the query in a pattern, set.

Previous-token heads by decree.

Induction heads that match exemplars as they are.

Heads that add nothing.

Induction heads by decree.

An output that is one head's attention.

No attention to the previous token.

A query that attends to labels only.

Attention made sharper or flatter.

Activations as they are without the other interventions.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention, heads_by_layer, places
from transformer.config.plain import OMIT_DEFAULT_FROM_ID, require_choice
from transformer.model.hooks import Scene, site_names

HIDDEN = -1e9  # a score that the softmax makes 0, and that is finite, as its gradient then is
COOLEST, HOTTEST = 1e-3, 1e6  # temperatures: what is hidden stays so, and float32 holds the scores


@dataclass(frozen=True, kw_only=True)
class HeadIntervention(Intervention):
    """Base of the interventions that change one activation of some heads."""

    heads: tuple[str, ...]
    """As "layer:head", counted from 0; "layer:*" for all of a layer."""

    activation = ""
    """Which one, as `pattern`."""

    def __post_init__(self) -> None:
        heads = (self.heads,) if isinstance(self.heads, str) else self.heads
        name = type(self).__name__
        if not (isinstance(heads, Iterable) and all(isinstance(each, str) for each in heads)):
            raise UsageError(f"{name}: heads={heads!r:.80}; give texts, as in ('1:0', '1:1')")
        object.__setattr__(self, "heads", tuple(heads))
        if not self.heads:
            raise UsageError(f"{name} names no heads; give some, as in 1:0")

    def by_layer(self, model: ModelConfig) -> dict[int, list[int]]:
        """Its heads, by layer."""
        return heads_by_layer(type(self).__name__, self.heads, model)

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` for a head that is not there."""
        self.by_layer(model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """The activation, in the layers of its heads."""
        return tuple(f"blocks.{layer}.{self.activation}" for layer in self.by_layer(model))

    def touches(self, model: ModelConfig) -> frozenset[str]:
        """The activation of its heads."""
        return self.of_own(self.activation, model=model)

    def of_own(self, *activations: str, model: ModelConfig) -> frozenset[str]:
        """The places of activations of its heads, see `places`."""
        return frozenset(
            f"blocks.{layer}.{activation} of {layer}:{head}"
            for layer, heads in self.by_layer(model).items()
            for head in heads
            for activation in activations
        )

    def on_heads(self, site: str, value: Tensor, changed: Tensor, model: ModelConfig) -> Tensor:
        """The activation (R, H, ...), changed where the heads are its own."""
        own = torch.zeros(model.n_heads, dtype=torch.bool, device=value.device)
        own[self.by_layer(model)[int(site.split(".")[1])]] = True
        return torch.where(own.view(-1, *[1] * (value.dim() - 2)), changed, value)

    def in_words(self, what: str, model: ModelConfig) -> frozenset[str]:
        """`what of 0:3` for each of its heads, for those that decide it."""
        return frozenset(
            f"{what} of {layer}:{head}"
            for layer, heads in self.by_layer(model).items()
            for head in heads
        )

    def check_number(self, name: str, lower: float, upper: float) -> None:
        """Raise `UsageError` unless a field is a number between two."""
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and lower <= value <= upper):
            shown = f"{value:g}" if isinstance(value, float) else f"{value!r:.40}"
            raise UsageError(
                f"{type(self).__name__}: {name}={shown} is out of range; choose from {lower:g} to "
                f"{upper:g}"
            )


Rows = Literal["all", "labels"]


@dataclass(frozen=True, kw_only=True)
class RowIntervention(HeadIntervention):
    """Base of the interventions on attention to the previous token."""

    rows: Rows = field(default="all", metadata=OMIT_DEFAULT_FROM_ID)
    """Which tokens' attention: that of `all`, or of `labels` alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, Rows, "rows")

    def check(self, model: ModelConfig) -> None:
        """Also refuse label rows of the last layer, of which the query's alone is read."""
        if self.rows == "labels" and model.n_layers - 1 in self.by_layer(model):
            raise UsageError(
                f"{type(self).__name__}: nothing reads the labels' attention in the last layer "
                f"({model.n_layers - 1}); choose heads of another, or rows all"
            )

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What its rows attend to."""
        of_all = ("the query's attention", "the exemplars' attention")
        rows = ("the labels' attention", *(of_all if self.rows == "all" else ()))
        return frozenset().union(*(self.in_words(each, model) for each in rows))

    def own_rows(self, n_rows: int, value: Tensor) -> Tensor:
        """Which tokens' rows (T,) are its own."""
        own = torch.ones(n_rows, dtype=torch.bool, device=value.device)
        if self.rows == "labels":
            own[::2] = False
        return own


def on_labels(shares: Tensor) -> Tensor:
    """A row (R, T, B) that attends to labels by shares (R, C, B), and to nothing else."""
    nothing = torch.zeros_like(shares)
    return torch.cat([torch.stack([nothing, shares], 2).flatten(1, 2), nothing[:, :1]], 1)


def with_query_row(pattern: Tensor, row: Tensor) -> Tensor:
    """Patterns (R, H, Q, T, B) of which the query's row is (R, T, B), the same for all heads."""
    query = row[:, None, None].to(pattern).expand(-1, pattern.shape[1], -1, -1, -1)
    return torch.cat([pattern[:, :, :-1], query], 2)


@dataclass(frozen=True, kw_only=True)
class QueryIntervention(HeadIntervention):
    """Base of the interventions that decide what the query attends to."""

    activation = "pattern"

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What its heads' query attends to."""
        return self.in_words("the query's attention", model)

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """Its heads' scores in the last layer, where the query alone is computed."""
        last = f"blocks.{model.n_layers - 1}."
        return frozenset(
            each
            for each in self.of_own("q", "k", "attn_scores", model=model)
            if each.startswith(last)
        )


@INTERVENTIONS.register("PreviousToken")
@dataclass(frozen=True, kw_only=True)
class PreviousToken(RowIntervention):
    """Tokens attend to the one before them by `strength`, to themselves by the rest."""

    strength: float = field(default=1.0, metadata=OMIT_DEFAULT_FROM_ID)
    activation = "pattern"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number("strength", 0, 1)

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """Its heads' scores, if all rows are its own."""
        if self.rows == "labels":
            return frozenset()
        return self.of_own("q", "k", "attn_scores", model=model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Its rows."""
        n_rows, n_tokens = value.shape[2:4]
        one = torch.eye(n_tokens, dtype=value.dtype, device=value.device)
        rows = (1 - self.strength) * one + self.strength * one.roll(-1, 1)  # row t: 1 at t - 1
        rows = torch.cat([one[:1], rows[1:]])
        own = self.own_rows(n_tokens, value)[-n_rows:].view(-1, 1, 1)
        changed = torch.where(own, rows[-n_rows:].unsqueeze(-1), value)
        return self.on_heads(site, value, changed, scene.config)


@INTERVENTIONS.register("Match")
@dataclass(frozen=True, kw_only=True)
class Match(QueryIntervention):
    """The query attends to the labels of the exemplars most like it.

    By the softmax of their features' cosines with its own, divided by `temperature`; at 0 to the
    most alike alone, which share if they are several.
    """

    temperature: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature != 0:
            self.check_number("temperature", COOLEST, HOTTEST)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """The query's row."""
        normal = F.normalize(scene.features.to(value), dim=-1)
        alike = (normal[:, :-1] * normal[:, -1:]).sum(-1)
        if self.temperature:
            shares = torch.softmax(alike / self.temperature, 1)
        else:
            most = (alike == alike.amax(1, keepdim=True)).to(value)
            shares = most / most.sum(1, keepdim=True)
        return self.on_heads(site, value, with_query_row(value, on_labels(shares)), scene.config)


@INTERVENTIONS.register("Ablate")
@dataclass(frozen=True, kw_only=True)
class Ablate(HeadIntervention):
    """Heads add nothing: what they mix is 0, whatever they attend to."""

    activation = "z"

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """All that its heads mix, and how."""
        return self.of_own("q", "k", "v", "attn_scores", "pattern", model=model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Zero for its heads."""
        return self.on_heads(site, value, torch.zeros_like(value), scene.config)


@INTERVENTIONS.register("ClampPattern")
@dataclass(frozen=True, kw_only=True)
class ClampPattern(QueryIntervention):
    """The query attends to labels alone: by `strength` to the target's.

    Others have the rest.  Labels of one kind share alike; where there are none of a kind, the other
    has all of it.  With two pairs the induction strength is then 2 `strength` - 1.
    """

    strength: float = field(default=1.0, metadata=OMIT_DEFAULT_FROM_ID)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number("strength", 0, 1)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """The query's row."""
        right = scene.labels == scene.target.unsqueeze(1)
        n_right, n_wrong = right.sum(1, keepdim=True), (~right).sum(1, keepdim=True)
        all_of_it, rest = torch.ones_like(value[:, 0, :1, 0]), 1 - self.strength
        to_right = torch.where(n_wrong == 0, all_of_it, self.strength * all_of_it)
        to_wrong = torch.where(n_right == 0, all_of_it, rest * all_of_it)
        shares = torch.where(right, to_right / n_right, to_wrong / n_wrong)
        return self.on_heads(site, value, with_query_row(value, on_labels(shares)), scene.config)


@INTERVENTIONS.register("CopyFromPattern")
@dataclass(frozen=True, kw_only=True)
class CopyFromPattern(Intervention):
    """The logits of the labels in context are the query's scores for them in one head.

    Others have none.  A label that stands there more than once has the log of the sum of the
    exponentials, so that the softmax over labels is the head's attention.  Scores are those of this
    pass, so that it shows what other interventions do to them.
    """

    priority: ClassVar[int] = 1
    head: str
    """As "layer:head"."""

    def _place(self, model: ModelConfig) -> tuple[str, int]:
        """Its scores' site, and the head's number."""
        ((layer, (head, *_)),) = heads_by_layer("CopyFromPattern", (self.head,), model).items()
        return f"blocks.{layer}.attn_scores", head

    def check(self, model: ModelConfig) -> None:
        """Raise `UsageError` for a head that is not there, or is more than one."""
        if self.head.endswith(":*"):
            raise UsageError(f"CopyFromPattern: head={self.head!r} is all of a layer; name one")
        self._place(model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Its scores, and the logits."""
        return self._place(model)[0], "logits"

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """The logits."""
        return frozenset({"the logits"})

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """All that comes after the scores, and what other heads of their layer are made of."""
        layer, _, head = self.head.partition(":")
        after = [f"blocks.{later}." for later in range(int(layer) + 1, model.n_layers)]
        own = f"blocks.{layer}."
        beyond = ("pattern", "v", "z", "attn_out", "mlp", "resid_post")
        return frozenset(
            place
            for place in places(site_names(model), model)
            if place.startswith((*after, "ln_final", *(own + name for name in beyond)))
            or (place.startswith(own) and " of " in place and not place.endswith(f":{int(head)}"))
        )

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Keep the scores; make logits of them."""
        if site != "logits":
            scene.seen[f"{site} of {self.head}"] = value
            return value
        site, head = self._place(scene.config)
        scores = scene.seen[f"{site} of {self.head}"][:, head, -1, 1::2]  # (R, C, B)
        same = scene.labels.unsqueeze(2) == scene.labels.unsqueeze(1)
        by_label = scores.unsqueeze(1).masked_fill(~same, -torch.inf).logsumexp(2)
        return torch.full_like(value, HIDDEN).scatter(2, scene.labels.mT, by_label.mT)


@INTERVENTIONS.register("ForbidPreviousToken")
@dataclass(frozen=True, kw_only=True)
class ForbidPreviousToken(RowIntervention):
    """Tokens cannot attend to the one before them."""

    activation = "attn_scores"

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Its rows' scores, hidden at the token before."""
        n_rows, n_tokens = value.shape[2:4]
        before = torch.eye(n_tokens, dtype=torch.bool, device=value.device).roll(-1, 1)
        before[0] = False
        hidden = (before & self.own_rows(n_tokens, value).unsqueeze(1))[-n_rows:].unsqueeze(-1)
        return self.on_heads(site, value, value.masked_fill(hidden, HIDDEN), scene.config)


@INTERVENTIONS.register("SilenceNonLabels")
@dataclass(frozen=True, kw_only=True)
class SilenceNonLabels(HeadIntervention):
    """The query attends neither to exemplars nor to itself: labels share by their scores."""

    activation = "attn_scores"

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """The query's scores, hidden but for the labels."""
        hidden = torch.zeros(value.shape[2:4], dtype=torch.bool, device=value.device)
        hidden[-1, ::2] = True
        changed = value.masked_fill(hidden.unsqueeze(-1), HIDDEN)
        return self.on_heads(site, value, changed, scene.config)


@INTERVENTIONS.register("Temperature")
@dataclass(frozen=True, kw_only=True)
class Temperature(HeadIntervention):
    """Scores are divided by `temperature`: above 1, attention is flatter.

    Those of this pass: the papers' code divides a clean pass's, which is the same unless
    something changes an earlier layer.
    """

    temperature: float
    activation = "attn_scores"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_number("temperature", COOLEST, HOTTEST)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """Its heads' temperature."""
        return self.in_words("the temperature", model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """Its heads' scores."""
        return self.on_heads(site, value, value / self.temperature, scene.config)


What = Literal["queries", "keys", "values", "patterns"]
ACTIVATIONS: dict[str, str] = {"queries": "q", "keys": "k", "values": "v", "patterns": "pattern"}


@INTERVENTIONS.register("Preserve")
@dataclass(frozen=True, kw_only=True)
class Preserve(Intervention):
    """Queries, keys, values or patterns of all layers are those of the model left alone.

    In training their gradient is that of the model left alone, too.
    """

    priority: ClassVar[int] = -1
    what: tuple[What, ...]

    def __post_init__(self) -> None:
        what = (self.what,) if isinstance(self.what, str) else self.what
        if not (isinstance(what, list | tuple) and what and {*map(str, what)} <= {*ACTIVATIONS}):
            raise UsageError(f"Preserve: what={what!r:.80}; choose of {', '.join(ACTIVATIONS)}")
        object.__setattr__(self, "what", tuple(what))

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        """Those activations in all layers."""
        return tuple(
            f"blocks.{layer}.{ACTIVATIONS[what]}"
            for layer in range(model.n_layers)
            for what in self.what
        )

    def reads(self, model: ModelConfig) -> tuple[str, ...]:
        """The same."""
        return self.sites(model)

    def sets(self, model: ModelConfig) -> frozenset[str]:
        """What it preserves."""
        return frozenset(f"what {what} are preserved" for what in self.what)

    def hides(self, model: ModelConfig) -> frozenset[str]:
        """What preserved patterns are made of."""
        if "patterns" not in self.what:
            return frozenset()
        made_of = ("q", "k", "attn_scores")
        sites = (f"blocks.{layer}.{name}" for layer in range(model.n_layers) for name in made_of)
        return places(sites, model)

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        """What is there in the model left alone."""
        return scene.clean[site]
