"""Interventions on attention: scores, patterns, and what heads mix."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from coopetition.tools.errors import UsageError
from transformer.config import ModelConfig
from transformer.config.interventions import INTERVENTIONS, Intervention, resolve_heads
from transformer.config.plain import OMIT_DEFAULT_FROM_ID, require_choice
from transformer.config.sites import places
from transformer.model.hooks import Act, Scene

HIDDEN = -1e9  # the softmax makes this score 0; it is finite, so that gradients are finite too
COOLEST, HOTTEST = 1e-3, 1e6  # temperatures at which hidden scores stay so and float32 suffices

Rows = Literal["all", "labels"]
What = Literal["queries", "keys", "values", "patterns"]
ACTIVATIONS: dict[str, str] = {"queries": "q", "keys": "k", "values": "v", "patterns": "pattern"}


def label_tokens(n_tokens: int, like: Tensor) -> Tensor:
    """Return which tokens (T,) are labels: every other one, from the second."""
    return torch.arange(n_tokens, device=like.device) % 2 == 1


@dataclass(frozen=True, kw_only=True)
class HeadIntervention(Intervention):
    """Base of the interventions that change one activation of some heads."""

    heads: tuple[str, ...]
    """As "layer:head", counted from 0; "layer:*" for all of a layer."""

    activation: ClassVar[str]
    """The site, without the layer: `pattern`."""
    limits: ClassVar[dict[str, tuple[float, float]]] = {}
    """The range of its numbers, by field."""

    def __post_init__(self) -> None:
        heads = (self.heads,) if isinstance(self.heads, str) else self.heads
        name = type(self).__name__
        if not (isinstance(heads, Iterable) and all(isinstance(each, str) for each in heads)):
            raise UsageError(f"{name}: heads={heads!r:.80}; give texts, as in ('1:0', '1:1')")
        object.__setattr__(self, "heads", tuple(heads))
        if not self.heads:
            raise UsageError(f"{name} names no heads; give some, as in 1:0")
        for field_name, (lower, upper) in self.limits.items():
            value = getattr(self, field_name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and lower <= value <= upper):
                shown = f"{value:g}" if isinstance(value, float) else f"{value!r:.40}"
                raise UsageError(
                    f"{name}: {field_name}={shown} is out of range; choose from {lower:g} to "
                    f"{upper:g}"
                )

    def resolve_heads(self, model: ModelConfig) -> tuple[tuple[int, int], ...]:
        """Return (layer, head) of its heads, sorted."""
        return resolve_heads(type(self).__name__, self.heads, model)

    def check(self, model: ModelConfig) -> None:
        self.resolve_heads(model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        layers = dict.fromkeys(layer for layer, _ in self.resolve_heads(model))
        return tuple(f"blocks.{layer}.{self.activation}" for layer in layers)

    def claims_in(self, model: ModelConfig) -> frozenset[str]:
        heads = self.resolve_heads(model)
        return frozenset(
            f"{what} of {layer}:{head}" for what in self.claims for layer, head in heads
        )

    def changes(self, model: ModelConfig) -> frozenset[str]:
        return frozenset(
            f"blocks.{layer}.{self.activation} of {layer}:{head}"
            for layer, head in self.resolve_heads(model)
        )

    def bind(self, config: ModelConfig, parameters: Mapping[str, Tensor]) -> Act:
        """Return what it does at a site: it changes an activation (R, H, ...) of its own heads.

        The masks are made here: a captured CUDA graph cannot copy them to the device.
        """
        heads: dict[str, set[int]] = {}
        for layer, head in self.resolve_heads(config):
            heads.setdefault(f"blocks.{layer}.{self.activation}", set()).add(head)
        device = parameters["W_U"].device
        masks = {
            site: torch.tensor([head in own for head in range(config.n_heads)], device=device)
            for site, own in heads.items()
            if len(own) < config.n_heads
        }

        def act(site: str, value: Tensor, scene: Scene) -> Tensor:
            changed = self.change(value, scene)
            if site not in masks:  # all heads are its own
                return changed
            return torch.where(masks[site].view(-1, *[1] * (value.dim() - 2)), changed, value)

        return act

    def change(self, value: Tensor, scene: Scene) -> Tensor:
        """Return the activation (R, H, ...) as if all heads were its own."""
        raise NotImplementedError


@INTERVENTIONS.register("Ablate")
@dataclass(frozen=True, kw_only=True)
class Ablate(HeadIntervention):
    """Heads add nothing to the residual stream: their mixed values are 0."""

    activation = "z"

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(self.changes(model), ())

    def change(self, value: Tensor, scene: Scene) -> Tensor:
        return torch.zeros_like(value)


@INTERVENTIONS.register("Temperature")
@dataclass(frozen=True, kw_only=True)
class Temperature(HeadIntervention):
    """Scores are divided by `temperature`: above 1, attention is flatter.

    They are the scores of this pass.  The papers' code divides those of a clean pass, which are the
    same unless something changes an earlier layer.
    """

    temperature: float
    activation = "attn_scores"
    claims = ("the temperature",)
    limits: ClassVar = {"temperature": (COOLEST, HOTTEST)}

    def change(self, value: Tensor, scene: Scene) -> Tensor:
        return value / self.temperature


@INTERVENTIONS.register("SilenceNonLabels")
@dataclass(frozen=True, kw_only=True)
class SilenceNonLabels(HeadIntervention):
    """The query attends to labels only, in proportion to their softmax weights."""

    activation = "attn_scores"

    def change(self, value: Tensor, scene: Scene) -> Tensor:
        n_rows, n_tokens = value.shape[2:4]
        is_query = torch.arange(n_rows, device=value.device) == n_rows - 1
        hidden = is_query.unsqueeze(1) & ~label_tokens(n_tokens, value)
        return value.masked_fill(hidden.unsqueeze(-1), HIDDEN)


@dataclass(frozen=True, kw_only=True)
class RowIntervention(HeadIntervention):
    """Base of the interventions on attention to the previous token."""

    rows: Rows = field(default="all", metadata=OMIT_DEFAULT_FROM_ID)
    """Which tokens' attention: that of `all`, or of `labels` alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, Rows, "rows")

    @property
    def claims(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What its tokens attend to."""
        of_all = ("the query's attention", "the exemplars' attention")
        return ("the labels' attention", *(of_all if self.rows == "all" else ()))

    def check(self, model: ModelConfig) -> None:
        """Refuse labels' rows of the last layer too, in which only the query's row is read."""
        last = model.n_layers - 1
        if self.rows == "labels" and last in dict(self.resolve_heads(model)):
            raise UsageError(
                f"{type(self).__name__}: nothing reads the labels' attention in the last layer "
                f"({last}); choose heads of another layer, or rows all"
            )

    def own_rows(self, n_tokens: int, value: Tensor) -> Tensor:
        """Return which tokens' rows (T,) are its own."""
        if self.rows == "labels":
            return label_tokens(n_tokens, value)
        return torch.ones(n_tokens, dtype=torch.bool, device=value.device)


@INTERVENTIONS.register("PreviousToken")
@dataclass(frozen=True, kw_only=True)
class PreviousToken(RowIntervention):
    """Tokens attend to the one before them by `strength`, to themselves by the rest."""

    strength: float = field(default=1.0, metadata=OMIT_DEFAULT_FROM_ID)
    activation = "pattern"
    limits: ClassVar = {"strength": (0, 1)}

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(self.changes(model) if self.rows == "all" else (), ())

    def change(self, value: Tensor, scene: Scene) -> Tensor:
        n_rows, n_tokens = value.shape[2:4]
        one = torch.eye(n_tokens, dtype=value.dtype, device=value.device)
        rows = (1 - self.strength) * one + self.strength * one.roll(-1, 1)  # row t: 1 at t - 1
        rows = torch.cat([one[:1], rows[1:]])
        own = self.own_rows(n_tokens, value)[-n_rows:].view(-1, 1, 1)
        return torch.where(own, rows[-n_rows:].unsqueeze(-1), value)


@INTERVENTIONS.register("ForbidPreviousToken")
@dataclass(frozen=True, kw_only=True)
class ForbidPreviousToken(RowIntervention):
    """Tokens cannot attend to the one before them."""

    activation = "attn_scores"

    def change(self, value: Tensor, scene: Scene) -> Tensor:
        n_rows, n_tokens = value.shape[2:4]
        before = torch.eye(n_tokens, dtype=torch.bool, device=value.device).roll(-1, 1).tril()
        hidden = (before & self.own_rows(n_tokens, value).unsqueeze(1))[-n_rows:].unsqueeze(-1)
        return value.masked_fill(hidden, HIDDEN)


@dataclass(frozen=True, kw_only=True)
class QueryIntervention(HeadIntervention):
    """Base of the interventions that decide what the query attends to: labels, by shares."""

    activation = "pattern"
    claims = ("the query's attention",)

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        last = f"blocks.{model.n_layers - 1}."  # which has the query's row alone
        return {place: () for place in self.changes(model) if place.startswith(last)}

    def change(self, value: Tensor, scene: Scene) -> Tensor:
        shares = self.shares(value, scene)
        nothing = torch.zeros_like(shares)
        row = torch.cat([torch.stack([nothing, shares], 2).flatten(1, 2), nothing[:, :1]], 1)
        query = row[:, None, None].to(value).expand(-1, value.shape[1], -1, -1, -1)
        return torch.cat([value[:, :, :-1], query], 2)

    def shares(self, pattern: Tensor, scene: Scene) -> Tensor:
        """Return the attention to each label (R, C, B), of the precision of the pattern."""
        raise NotImplementedError


@INTERVENTIONS.register("Match")
@dataclass(frozen=True, kw_only=True)
class Match(QueryIntervention):
    """The query attends to the labels of the exemplars that are most similar to its own.

    Shares are the softmax of the cosines of their features with its own, divided by `temperature`.
    At temperature 0 the most alike has all attention, in equal shares if there are several.
    """

    temperature: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)

    @property
    def limits(self) -> dict[str, tuple[float, float]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The range of temperatures other than 0."""
        return {} if self.temperature == 0 else {"temperature": (COOLEST, HOTTEST)}

    def shares(self, pattern: Tensor, scene: Scene) -> Tensor:
        normal = F.normalize(scene.features.to(pattern), dim=-1)
        cosine = (normal[:, :-1] * normal[:, -1:]).sum(-1)
        if self.temperature:
            return torch.softmax(cosine / self.temperature, 1)
        most = (cosine == cosine.amax(1, keepdim=True)).to(pattern)
        return most / most.sum(1, keepdim=True)


@INTERVENTIONS.register("ClampPattern")
@dataclass(frozen=True, kw_only=True)
class ClampPattern(QueryIntervention):
    """The query attends to the target's label by `strength`, and to other labels by the rest.

    Labels of one kind have equal shares; where there are none of a kind, the other kind has all
    attention.  With two pairs the induction strength is 2 `strength` - 1.
    """

    strength: float = field(default=1.0, metadata=OMIT_DEFAULT_FROM_ID)
    limits: ClassVar = {"strength": (0, 1)}

    def shares(self, pattern: Tensor, scene: Scene) -> Tensor:
        right = scene.labels == scene.target.unsqueeze(1)
        n_right, n_wrong = right.sum(1, keepdim=True), (~right).sum(1, keepdim=True)
        one = torch.ones_like(pattern[:, 0, :1, 0])
        to_right = torch.where(n_wrong == 0, one, self.strength * one)
        to_wrong = torch.where(n_right == 0, one, (1 - self.strength) * one)
        return torch.where(right, to_right / n_right, to_wrong / n_wrong)


@INTERVENTIONS.register("CopyFromPattern")
@dataclass(frozen=True, kw_only=True)
class CopyFromPattern(Intervention):
    """The logits of the labels in context are the query's scores for them in one head.

    Other labels have none.  A label that occurs more than once has the log of the sum of the
    exponentials, so that the softmax over labels is the head's attention.  The scores are those of
    this pass, so that they show what other interventions do to them.
    """

    priority: ClassVar[int] = 1
    claims: ClassVar = ("the logits",)
    head: str
    """As "layer:head"."""

    def _scores(self, model: ModelConfig) -> tuple[str, int]:
        """Return the site of its scores, and the number of the head."""
        ((layer, head), *_) = resolve_heads("CopyFromPattern", (self.head,), model)
        return f"blocks.{layer}.attn_scores", head

    def check(self, model: ModelConfig) -> None:
        if self.head.endswith(":*"):
            raise UsageError(f"CopyFromPattern: head={self.head!r} is all of a layer; name one")
        self._scores(model)

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        return self._scores(model)[0], "logits"

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        site, head = self._scores(model)
        return {"logits": (places(site, model)[head],)}

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        scores_site, head = self._scores(scene.config)
        key = f"{scores_site} of {self.head}"
        if site != "logits":
            scene.seen[key] = value
            return value
        scores = scene.seen[key][:, head, -1, 1::2]  # (R, C, B)
        same = scene.labels.unsqueeze(2) == scene.labels.unsqueeze(1)
        by_label = scores.unsqueeze(1).masked_fill(~same, -torch.inf).logsumexp(2)
        return torch.full_like(value, HIDDEN).scatter(2, scene.labels.mT, by_label.mT)


@INTERVENTIONS.register("Preserve")
@dataclass(frozen=True, kw_only=True)
class Preserve(Intervention):
    """Queries, keys, values or patterns keep their values from a pass without interventions.

    In training they also keep their gradient from that pass.
    """

    priority: ClassVar[int] = -1
    needs_clean: ClassVar[bool] = True
    what: tuple[What, ...]

    def __post_init__(self) -> None:
        what = (self.what,) if isinstance(self.what, str) else self.what
        if not (isinstance(what, list | tuple) and what and {*map(str, what)} <= {*ACTIVATIONS}):
            raise UsageError(f"Preserve: what={what!r:.80}; choose of {', '.join(ACTIVATIONS)}")
        object.__setattr__(self, "what", tuple(what))

    def sites(self, model: ModelConfig) -> tuple[str, ...]:
        return tuple(
            f"blocks.{layer}.{ACTIVATIONS[what]}"
            for layer in range(model.n_layers)
            for what in self.what
        )

    def overwrites(self, model: ModelConfig) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(self.changes(model), ())

    def act(self, site: str, value: Tensor, scene: Scene) -> Tensor:
        return scene.clean[site]
