"""What defines a run: frozen dataclasses, one per concern, plain values only.

Everything that changes the numbers of a run is here; device and threads are not, they belong to
the machine and are recorded in the run's manifest.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, Self, get_args, get_origin

from coopetition.errors import UsageError

MAX_SEED = 2**63  # what every generator takes


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


def _require_at_least(config: object, minimum: float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(
            math.isfinite(value) and value >= minimum,
            f"{name}={value} is out of range; choose a finite value of at least {minimum}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """An attention-only transformer (the coopetition paper's model by default)."""

    n_layers: int = 2
    n_heads: int = 8
    d_model: int = 64

    def __post_init__(self) -> None:
        _require_at_least(self, 1, "n_layers", "n_heads", "d_model")
        _require(
            self.d_model % self.n_heads == 0,
            f"n_heads={self.n_heads} does not divide d_model={self.d_model}; "
            "choose a divisor of d_model",
        )

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return self.d_model // self.n_heads


@dataclass(frozen=True, slots=True, kw_only=True)
class GlyphConfig:
    """Procedural handwriting: each class a stroke program, each exemplar a jittered drawing."""

    n_classes: int = 12800
    n_exemplars: int = 20
    seed: int = 0
    """Draws the classes and their exemplars."""
    jitter: float = 0.12
    """Standard deviation of an exemplar's control points, in units of the image side."""
    distortion: float = 0.25
    """Standard deviation of an exemplar's rotation (radians) and relative scales."""

    def __post_init__(self) -> None:
        _require_at_least(self, 1, "n_classes", "n_exemplars")
        _require_at_least(self, 0, "seed", "jitter", "distortion")


@dataclass(frozen=True, slots=True, kw_only=True)
class OmniglotConfig:
    """Omniglot drawings, 28 x 28, of 1,600 characters in up to 8 orientations each."""

    path: str = field(default="", metadata={"no identity": True, "machine": True})
    """An `omniglot.npz` or the folder that holds `images_background` and `images_evaluation`."""
    n_classes: int = 12800
    """The first 1,600 are the upright characters, each further 1,600 another orientation."""
    n_exemplars: int = 20

    def __post_init__(self) -> None:
        _require_at_least(self, 1, "n_classes", "n_exemplars")
        _require(
            self.n_classes <= 12800,
            f"n_classes={self.n_classes} is more than Omniglot's 1,600 characters x 8 "
            "orientations; choose at most 12800",
        )
        _require(
            self.n_exemplars <= 20,
            f"n_exemplars={self.n_exemplars} is more than Omniglot has; choose at most 20",
        )


ExemplarConfig = GlyphConfig | OmniglotConfig


Mode = Literal["bursty", "icl_only", "ciwl_only", "matched"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Training sequences: `context` exemplar-label pairs, then a query exemplar."""

    exemplars: ExemplarConfig = field(default_factory=GlyphConfig)
    context: int = 2
    """Number of exemplar-label pairs before the query."""
    burstiness: int = 1
    """How often the query's class stands in context; one distractor class stands as often."""
    batch_size: int = 32
    mode: Mode = field(default="bursty", metadata={"added": True})
    """What a strategy can use: `bursty` all, `icl_only` the context alone (labels are random),
    `ciwl_only` the weights (the query's class is not in context, its label is), `matched` also the
    very drawing of the query, which stands in context."""

    def __post_init__(self) -> None:
        _require(
            self.mode in get_args(Mode),
            f"mode={self.mode!r} is unknown; choose one of {', '.join(get_args(Mode))}",
        )
        _require_at_least(self, 1, "context", "burstiness", "batch_size")
        _require(
            2 * self.burstiness <= self.context,
            f"context={self.context} is too short for burstiness={self.burstiness} (the query's "
            f"class and a distractor, {self.burstiness} each); "
            f"choose context >= {2 * self.burstiness}",
        )
        _require(
            self.mode != "icl_only" or self.context == 2 * self.burstiness,
            f"context={self.context} with burstiness={self.burstiness} leaves items without a "
            f"random label in mode icl_only; choose context={2 * self.burstiness}",
        )
        needed = self.context + 1 if self.mode == "ciwl_only" else 2
        _require_distinct_classes(self.exemplars.n_classes, needed, "exemplars.n_classes")


def _require_distinct_classes(n_classes: int, needed: int, name: str) -> None:
    _require(
        n_classes >= needed,
        f"{name}={n_classes} is fewer classes than a sequence needs; choose at least {needed}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """Adam at a constant learning rate."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _require_at_least(self, 0, "learning_rate", "beta1", "beta2")
        _require(
            self.beta1 < 1 and self.beta2 < 1,
            f"beta1={self.beta1}, beta2={self.beta2}: choose both below 1",
        )
        _require(
            math.isfinite(self.epsilon) and self.epsilon > 0,
            f"epsilon={self.epsilon} is out of range; choose a small positive number",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """Fixed evaluation sets, drawn once from `eval_seed`."""

    every: int = 500
    """Steps between two evaluations."""
    n_sequences: int = 1000
    """Sequences of each evaluator (the paper: 5,000)."""
    n_classes: int = 1600
    """Evaluators use the first so many classes (the paper: the 1,600 that are not rotated)."""
    n_exemplars: int = 5
    """Evaluators use the first so many exemplars of a class (the paper: 5)."""

    def __post_init__(self) -> None:
        _require_at_least(self, 1, "every", "n_sequences", "n_classes", "n_exemplars")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """All that defines a run.  Its id is a hash of what its numbers depend on."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    n_steps: int = field(default=60000, metadata={"no identity": True})
    """Where the run ends; `resume --n-steps` moves it."""
    checkpoint_every: int = field(default=5000, metadata={"no identity": True})
    """Steps between two checkpoints."""
    init_seed: int = 5
    data_seed: int = 2
    eval_seed: int = 1

    def __post_init__(self) -> None:
        _require_at_least(self, 1, "n_steps", "checkpoint_every")
        seeds = (self.init_seed, self.data_seed, self.eval_seed)
        _require(
            len({*seeds}) == 3 and min(seeds) >= 0 and max(seeds) < MAX_SEED,
            f"init_seed, data_seed, eval_seed = {seeds}; choose three different whole numbers "
            f"from 0 to {MAX_SEED - 1}",
        )
        exemplars, evaluation = self.data.exemplars, self.evaluation
        _require(
            evaluation.n_classes <= exemplars.n_classes,
            f"evaluation.n_classes={evaluation.n_classes} is more than "
            f"data.exemplars.n_classes={exemplars.n_classes}; choose at most that",
        )
        _require(
            evaluation.n_exemplars <= exemplars.n_exemplars,
            f"evaluation.n_exemplars={evaluation.n_exemplars} is more than "
            f"data.exemplars.n_exemplars={exemplars.n_exemplars}; choose at most that",
        )
        # the CIWL and IWL evaluators need `context` classes beside the query's
        _require_distinct_classes(
            evaluation.n_classes, self.data.context + 1, "evaluation.n_classes"
        )
        _require(
            self.data.context % 2 == 0,
            f"context={self.data.context} is odd, but the ICL and Flip evaluators fill it with "
            "two classes equally; choose an even number",
        )

    @property
    def sequences_per_step(self) -> int:
        """Sequences that one step sees."""
        return self.data.batch_size

    def run_id(self) -> str:
        """Twelve hexadecimal digits that two runs share only if their numbers agree."""
        canonical = json.dumps(to_dict(self, leave_out="no identity"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def at_data(self, path: str) -> Self:
        """The same run with its data at another path; glyphs have none and stay as they are."""
        exemplars = self.data.exemplars
        if isinstance(exemplars, GlyphConfig):
            return self
        return replace(self, data=replace(self.data, exemplars=replace(exemplars, path=path)))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; an unknown or missing name raises `UsageError`."""
        return _from_dict(cls, data, "config")


def to_dict(config: Any, *, leave_out: str | None = None) -> dict[str, Any]:
    """Plain values; a dataclass from a union also carries its class name as `kind`.

    Fields marked with `leave_out` are left out: "no identity" marks those that change no number of
    a run (paths, its length), "machine" those that say something of the machine (paths).  A field
    that is marked "added" came later; at its default it is no part of an identity, so that older
    runs keep theirs.
    """
    result: dict[str, Any] = {}
    for item in fields(config):
        if leave_out is not None and item.metadata.get(leave_out):
            continue
        value = getattr(config, item.name)
        if leave_out == "no identity" and item.metadata.get("added") and value == item.default:
            continue
        if is_dataclass(value):
            kind = {"kind": type(value).__name__} if isinstance(item.type, UnionType) else {}
            value = kind | to_dict(value, leave_out=leave_out)
        result[item.name] = value
    return result


def _from_dict(cls: Any, data: Any, where: str) -> Any:
    _require(isinstance(data, dict), f"{where} is {data!r}; expected a table of its fields")
    types: dict[str, Any] = {item.name: item.type for item in fields(cls)}
    missing = [f.name for f in fields(cls) if f.name not in data and not f.metadata.get("added")]
    _require(
        not missing and set(data) <= set(types),
        f"{where} has the fields {sorted(data)}; this version expects {sorted(types)}",
    )
    values = {}
    for name, value in data.items():
        expected = types[name]
        if isinstance(expected, UnionType):
            _require(isinstance(value, dict), f"{where}.{name}={value!r}; expected a table")
            kind = value.get("kind")
            value = {key: item for key, item in value.items() if key != "kind"}
            options = {option.__name__: option for option in get_args(expected)}
            _require(
                kind in options, f"{where}.{name}.kind={kind!r}; choose one of {sorted(options)}"
            )
            expected = options[kind]
        if get_origin(expected) is Literal:
            _require(
                value in get_args(expected),
                f"{where}.{name}={value!r}; choose one of {', '.join(get_args(expected))}",
            )
        elif is_dataclass(expected):
            value = _from_dict(expected, value, f"{where}.{name}")
        else:
            _require(
                isinstance(value, (int, float) if expected is float else expected)
                and not isinstance(value, bool),
                f"{where}.{name}={value!r}; expected {expected.__name__}",
            )
        values[name] = value
    return cls(**values)


__all__ = [
    "DataConfig",
    "EvaluationConfig",
    "ExemplarConfig",
    "GlyphConfig",
    "ModelConfig",
    "OmniglotConfig",
    "OptimConfig",
    "RunConfig",
    "to_dict",
]
