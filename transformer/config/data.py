"""What a kind of exemplars is; each has its file in `transformer.data.exemplars`.

What a data mode is: how sequences are drawn; each has its file in `transformer.data.modes`.

What training sequences are made of.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from coopetition.tools.errors import UsageError
from transformer.config.plain import OMIT_DEFAULT_FROM_ID, require, require_at_least
from transformer.config.registry import RegisteredConfig, Registry

EXEMPLAR_KINDS: Registry[type["ExemplarConfig"]] = Registry(
    "kind of exemplars", "transformer.data.exemplars"
)


class ExemplarConfig(RegisteredConfig):
    """Base of the kinds: frozen dataclasses of which each value is a set of exemplars.

    One that reads a file has a field `path`, marked `MACHINE_PATH`; one whose exemplars do not
    follow from its other fields has a field `fingerprint`, which is filled in at reading.
    """

    __slots__ = ()
    registry = EXEMPLAR_KINDS  # pyright: ignore[reportAssignmentType]
    n_classes: int
    """Number of classes; 0 while it is not known, before a file is given."""
    n_exemplars: int
    """Exemplars of each class; 0 likewise."""
    bytes_per_feature: ClassVar[int] = 1
    """What a feature takes in memory: 1 for pixels, 2 for half precision."""
    may_be_images: ClassVar[bool] = True
    """Whether features can be the pixels of a square, row by row."""
    needs_path: ClassVar[bool] = False
    """Whether nothing can be read before its field `path` is given."""

    def with_fields(self, **changes: Any) -> Self:
        """The same with other fields; those that this kind lacks raise `UsageError`."""
        names = [item.name for item in fields(self)]  # pyright: ignore[reportArgumentType]
        if unknown := set(changes) - set(names):
            raise UsageError(
                f"{type(self).__name__} has no field {min(unknown)!r}; choose of {', '.join(names)}"
            )
        return replace(self, **changes)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def feature_count(self) -> int:
        """Length of a feature vector, without drawing or reading any."""
        raise NotImplementedError

    def load(self) -> Any:
        """Draw or read them: `transformer.data.exemplar_sets.Exemplars`."""
        raise NotImplementedError

    def recorded_fields(self) -> dict[str, Any]:
        """Fields beside path and fingerprint that are filled in when exemplars are read."""
        return {}


MODES: Registry["Mode"] = Registry("data mode", "transformer.data.modes")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a sequence of a mode needs of the exemplars."""

    distinct: int
    """Classes that are distinct for sure."""
    alike: int
    """Items, query included, that may be of one class."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A data mode.

    Attributes
    ----------
    draw : (rng, pool, config, n) -> exemplars (context + 1, n), labels (context, n), target (n,);
        see `transformer.data.sequences`
    needs : what it needs under a `DataConfig`; raises `UsageError` for one that it cannot serve
    doc : what it is, in one line, and more
    """

    draw: Callable[..., Any]
    needs: Callable[[Any], Needs]
    doc: str = ""


def mode(name: str, needs: Callable[[Any], Needs]) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that registers a function which draws sequences as a mode."""

    def register(draw: Callable[..., Any]) -> Callable[..., Any]:
        MODES.register(name)(Mode(draw, needs, draw.__doc__ or ""))
        return draw

    return register


MAX_EXPONENT = 10  # beyond it one class is all there is
LEAST_WEIGHT = 1e-12  # of what is left to draw from: below it, rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Training sequences: `context` exemplar-label pairs, then a query exemplar."""

    exemplars: ExemplarConfig = field(default_factory=lambda: EXEMPLAR_KINDS["glyphs"]())
    context: int = 2
    """Number of exemplar-label pairs before the query."""
    burstiness: int = 1
    """How often the query's class stands in context, and the distractor class."""
    batch_size: int = 32
    mode: str = field(default="bursty", metadata=OMIT_DEFAULT_FROM_ID)
    """How sequences are drawn, and so what a strategy can use: `bursty`, all; `icl_only`, the
    context alone; `ciwl_only`, the weights and the labels in context; and others
    (`python -m transformer data` lists them, each is a file of `transformer.data.modes`)."""
    mixture: tuple[tuple[str, float], ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """Modes and their shares instead of one mode: `bursty 0.9 random 0.1` is P(bursty) = 0.9."""
    distractor: bool = field(default=True, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether a second class stands in context as often as the query's (the papers' code has it
    as a switch)."""
    distractor_may_match: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether the distractor may be the query's class (drawn independently of it)."""
    unique_rest: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether the items that fill up the context are of distinct classes, none of those there."""
    repeats: bool = field(default=True, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether an exemplar may stand twice in a sequence (drawn with replacement)."""
    zipf_exponent: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)
    """Class k of rank r is drawn in proportion to r ** -zipf_exponent; 0: all alike."""
    zipf_rarest_first: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether class 0 is the rarest (Chan et al. 2022) and not the most frequent."""
    noise: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)
    """Standard deviation of normal noise on every feature, fresh at every showing in training
    (Chan et al. 2022 have it as a switch, 0 in all of their configs)."""
    held_out: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID)
    """The last so many classes are not trained on (they keep their labels); evaluators such as
    `icl_held_out` use them."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "context", "burstiness", "batch_size")
        require_at_least(self, 0, "zipf_exponent", "noise", "held_out")
        require(
            self.zipf_exponent <= MAX_EXPONENT,
            f"zipf_exponent={self.zipf_exponent} is out of range; choose at most {MAX_EXPONENT}",
        )
        require(
            not (self.distractor_may_match and self.unique_rest),
            "unique_rest makes all classes distinct; leave distractor_may_match off",
        )
        self._check_mixture()
        for mode, _ in self.shares():
            self._check_mode(mode)

    @property
    def n_trained(self) -> int:
        """Number of classes that are trained on, the first ones."""
        return self.exemplars.n_classes - self.held_out

    def shares(self) -> tuple[tuple[str, float], ...]:
        """Modes and their shares, which sum to 1."""
        return self.mixture or ((self.mode, 1.0),)

    def _check_mixture(self) -> None:
        shares = [share for _, share in self.mixture]
        require(
            not shares or (min(shares) > 0 and math.isclose(sum(shares), 1, abs_tol=1e-9)),
            f"mixture={self.mixture} has shares that sum to {sum(shares):g}; "
            "choose positive shares that sum to 1",
        )
        modes = [mode for mode, _ in self.mixture]
        require(
            len({*modes}) == len(modes),
            f"mixture={self.mixture} names a mode twice; add up its shares",
        )
        require(
            not shares or self.mode == "bursty",
            f"mode={self.mode!r} and a mixture contradict each other; name the mode in the mixture",
        )

    def _check_mode(self, mode: str) -> None:
        needs = MODES[mode].needs(self)
        if self.exemplars.n_classes == 0:
            return  # not known before a file is given
        if self.held_out:
            require(
                self.n_trained >= needs.distinct,
                f"held_out={self.held_out} leaves {max(self.n_trained, 0)} of "
                f"exemplars.n_classes={self.exemplars.n_classes} to train on, but a sequence needs "
                f"{needs.distinct}; hold out fewer",
            )
        require_distinct_classes(self.n_trained, needs.distinct, "exemplars.n_classes")
        if self.zipf_exponent and needs.distinct > 1:
            ranks = np.arange(1, self.n_trained + 1, dtype=np.float64)
            weights = ranks**-self.zipf_exponent
            left = weights[needs.distinct - 1 :].sum() / weights.sum()
            require(
                left > LEAST_WEIGHT,
                f"zipf_exponent={self.zipf_exponent} leaves a share of {left:.1g} for the last of "
                f"{needs.distinct} distinct classes; choose a smaller exponent",
            )
        require(
            self.repeats or self.exemplars.n_exemplars >= needs.alike,
            f"exemplars.n_exemplars={self.exemplars.n_exemplars} is too few for a sequence of mode "
            f"{mode} without repeats; choose at least {needs.alike}, or repeats",
        )


def require_distinct_classes(n_classes: int, needed: int, name: str) -> None:
    """Raise `UsageError` if a sequence needs more distinct classes than there are."""
    require(
        n_classes >= needed,
        f"{name}={n_classes} is fewer classes than a sequence needs; choose at least {needed}",
    )
