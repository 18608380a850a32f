"""Training sequences: the bases of exemplar kinds and data modes, and `DataConfig`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from coopetition.tools.errors import UsageError
from transformer.config.plain import OMIT_DEFAULT_FROM_ID, require, require_at_least
from transformer.config.registry import RegisteredConfig, Registry

EXEMPLAR_KINDS: Registry[type["ExemplarConfig"]] = Registry(
    "kind of exemplars", "transformer.data.exemplars"
)
"""The kinds of exemplars by name; `EXEMPLAR_KINDS.register(NAME)` adds a class."""
MODES: Registry["Mode"] = Registry("data mode", "transformer.data.modes")
"""The data modes by name; `mode` adds one."""


class ExemplarConfig(RegisteredConfig):
    """Base of the exemplar kinds: frozen dataclasses; a value describes a set of exemplars.

    A kind that reads a file has a field `path`, marked `MACHINE_PATH`.  A kind whose exemplars do
    not follow from its other fields has a field `fingerprint`, which is recorded at reading.
    """

    __slots__ = ()
    registry = EXEMPLAR_KINDS  # pyright: ignore[reportAssignmentType]
    n_classes: int
    """Number of classes."""
    n_exemplars: int
    """Number of exemplars per class."""
    bytes_per_feature: ClassVar[int] = 1
    """Memory per feature: 1 for pixels, 2 for half precision."""
    may_be_images: ClassVar[bool] = True
    """Whether features can be the pixels of a square image, row by row."""
    needs_path: ClassVar[bool] = False
    """Whether the field `path` must be given."""

    def with_fields(self, **changes: Any) -> Self:
        """Return a copy with other fields; raise `UsageError` for unknown ones."""
        names = [item.name for item in fields(self)]  # pyright: ignore[reportArgumentType]
        if unknown := set(changes) - set(names):
            raise UsageError(
                f"{type(self).__name__} has no field {min(unknown)!r}; choose one of "
                + ", ".join(names)
            )
        return replace(self, **changes)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def feature_count(self) -> int:
        """Return the length of a feature vector, without drawing or reading any."""
        raise NotImplementedError

    def load(self) -> Any:
        """Return the exemplars, drawn or read: `transformer.data.exemplar_sets.Exemplars`."""
        raise NotImplementedError

    def recorded_fields(self) -> dict[str, Any]:
        """Return the fields that are recorded at reading, besides path and fingerprint."""
        return {}


@dataclass(frozen=True, slots=True)
class Needs:
    """Requirements of a data mode on the exemplars."""

    distinct: int
    """Number of classes that always differ."""
    alike: int
    """Largest number of items, with the query, that can belong to one class."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A data mode.

    Attributes
    ----------
    draw : (rng, pool, config, n) -> exemplars (context + 1, n), labels (context, n), target (n,);
        see `transformer.data.sequences`
    needs : what it needs under a `DataConfig`; raises `UsageError` if it cannot serve the config
    doc : its docstring
    """

    draw: Callable[..., Any]
    needs: Callable[[Any], Needs]
    doc: str = ""


def mode(name: str, needs: Callable[[Any], Needs]) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that registers a function which draws sequences as a mode."""

    def register(draw: Callable[..., Any]) -> Callable[..., Any]:
        MODES.register(name)(Mode(draw, needs, draw.__doc__ or ""))
        return draw

    return register


MAX_EXPONENT = 10  # beyond it one class is drawn nearly always
LEAST_WEIGHT = 1e-12  # smallest share of the classes that are still to be drawn; below is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Training sequences: `context` exemplar-label pairs, then a query exemplar."""

    exemplars: ExemplarConfig = field(default_factory=lambda: EXEMPLAR_KINDS["glyphs"]())
    context: int = 2
    """Number of exemplar-label pairs before the query."""
    burstiness: int = 1
    """Number of items in context of the query's class, and of the distractor's class."""
    batch_size: int = 32
    """Number of sequences per step."""
    mode: str = field(default="bursty", metadata=OMIT_DEFAULT_FROM_ID)
    """Rule that draws training sequences; it decides which strategies can solve them.  For example,
    `bursty`: all strategies; `icl_only`: ICL; `ciwl_only`: CIWL and IWL.
    `python -m transformer data` lists the modes."""
    mixture: tuple[tuple[str, float], ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """Modes and their shares, in place of --data.mode: `bursty 0.9 random 0.1`."""
    distractor: bool = field(default=True, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether a second class, the distractor, appears in context as often as the query's."""
    distractor_may_match: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether the distractor is drawn independently, so that it may be the query's class."""
    unique_rest: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether the remaining items of the context have distinct classes, other than those above."""
    repeats: bool = field(default=True, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether an exemplar may appear twice in a sequence (drawn with replacement)."""
    zipf_exponent: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)
    """Zipf exponent z: the class of rank r is drawn in proportion to r ** -z; 0: uniformly."""
    zipf_rarest_first: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID)
    """Whether class 0 is the rarest (Chan et al. 2022) instead of the most frequent."""
    noise: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)
    """Standard deviation of normal noise on every feature, drawn anew for every item."""
    held_out: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID)
    """Number of held-out classes, the last ones.  They keep their labels; evaluators such as
    `icl_held_out` use them."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "context", "burstiness", "batch_size")
        require_at_least(self, 0, "noise", "held_out")
        require_at_least(self, 0, "zipf_exponent", most=MAX_EXPONENT)
        require(
            not (self.distractor_may_match and self.unique_rest),
            "unique_rest makes all classes distinct; leave distractor_may_match off",
        )
        self._check_mixture()
        for name, _ in self.shares():
            needs = MODES[name].needs(self)
            if self.exemplars.n_classes:  # else not known before a file is given
                self._check_needs(name, needs)

    @property
    def n_trained(self) -> int:
        """Number of classes that are trained on, the first ones."""
        return self.exemplars.n_classes - self.held_out

    def drawn_from(self, exemplars: ExemplarConfig) -> Self:
        """Return the data with other exemplars.

        They may repeat in a sequence if they are too few to differ, whatever `repeats` was.
        """
        repeats = self.repeats or exemplars.n_exemplars <= self.context
        return replace(self, exemplars=exemplars, repeats=repeats)

    def shares(self) -> tuple[tuple[str, float], ...]:
        """Return modes and their shares, which sum to 1."""
        return self.mixture or ((self.mode, 1.0),)

    def class_weights(self) -> NDArray[np.float64] | None:
        """Return the Zipf weights of the classes (n_trained,); None if all classes are alike."""
        if self.zipf_exponent == 0:
            return None
        weights = np.arange(1, self.n_trained + 1, dtype=np.float64) ** -self.zipf_exponent
        return weights[::-1] if self.zipf_rarest_first else weights

    def _check_mixture(self) -> None:
        shares = [share for _, share in self.mixture]
        require(
            not shares or (min(shares) > 0 and math.isclose(sum(shares), 1, abs_tol=1e-9)),
            f"mixture={self.mixture} has shares that sum to {sum(shares):g}; "
            "choose positive shares that sum to 1",
        )
        require(
            len(dict(self.mixture)) == len(shares),
            f"mixture={self.mixture} names a mode twice; add up its shares",
        )
        require(
            not shares or self.mode == "bursty",
            f"mode={self.mode!r} and a mixture contradict each other; name the mode in the mixture",
        )

    def _check_needs(self, mode: str, needs: Needs) -> None:
        n_classes, n_exemplars = self.exemplars.n_classes, self.exemplars.n_exemplars
        require(
            not self.held_out or self.n_trained >= needs.distinct,
            f"held_out={self.held_out} leaves {max(self.n_trained, 0)} of "
            f"exemplars.n_classes={n_classes} to train on, but a sequence needs {needs.distinct}; "
            "hold out fewer",
        )
        require_distinct_classes(self.n_trained, needs.distinct, "exemplars.n_classes")
        if self.zipf_exponent and needs.distinct > 1:
            weights = np.sort(self.class_weights())[::-1]  # pyright: ignore
            left = weights[needs.distinct - 1 :].sum() / weights.sum()
            require(
                left > LEAST_WEIGHT,
                f"zipf_exponent={self.zipf_exponent} leaves a share of {left:.1g} for the last of "
                f"{needs.distinct} distinct classes; choose a smaller exponent",
            )
        require(
            self.repeats or n_exemplars >= needs.alike,
            f"exemplars.n_exemplars={n_exemplars} is too few for a sequence of mode {mode} without "
            f"repeats; choose at least {needs.alike}, or repeats",
        )


def require_distinct_classes(n_classes: int, needed: int, name: str) -> None:
    """Raise `UsageError` if a sequence needs more distinct classes than there are."""
    require(
        n_classes >= needed,
        f"{name}={n_classes} is fewer classes than a sequence needs; choose at least {needed}",
    )
