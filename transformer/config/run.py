"""How large the runs of a paper are made.

All that defines a run.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from coopetition.tools.errors import UsageError
from transformer.config.data import DataConfig, ExemplarConfig, require_distinct_classes
from transformer.config.evaluators import EVALUATORS
from transformer.config.interventions import Intervention, check_interventions
from transformer.config.model import ModelConfig, check_parts
from transformer.config.optim import OptimConfig
from transformer.config.plain import (
    MACHINE_PATH,
    MAX_SEED,
    NOT_IN_RUN_ID,
    OMIT_DEFAULT_FROM_ID,
    from_dict,
    require,
    require_at_least,
    require_choice,
    to_dict,
)

Scale = Literal["smoke", "cpu", "gpu", "paper"]
"""`paper`: as published; `gpu`: what one GPU trains in hours, where the published runs take longer;
`cpu`: what two cores can do; `smoke`: seconds, to test that everything works."""


Precision = Literal["float32", "tf32", "bfloat16", "float64"]
UNROTATED = 1600  # classes that the papers evaluate on: Omniglot's characters as they are drawn
N_EVALUATED = 5  # exemplars of each that they evaluate on


class _Derived(int):
    """A number that nobody gave: it follows the data when these change."""


def _unless_given(value: int, default: int) -> int:
    return _Derived(default) if value == 0 or isinstance(value, _Derived) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """Fixed evaluation sets, drawn once from `eval_seed`."""

    every: int = 500
    """Steps between two evaluations."""
    n_sequences: int = 1000
    """Sequences of each evaluator (the paper: 5,000)."""
    n_classes: int = 0
    """Evaluators use the first so many classes (default: 1,600 as in the paper, those that are not
    rotated; or as many as are trained on, if fewer)."""
    n_exemplars: int = 0
    """Evaluators use the first so many exemplars of a class (default: 5 as in the paper; or as many
    as there are, if fewer)."""
    also: tuple[str, ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """Evaluators beyond those that every run has, such as `icl_held_out`, `train_burst_2`
    (`transformer.data.evaluators`)."""
    per_sequence: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID)
    """Whether to keep the metrics of every sequence (`sequences/step_*.npz`), not only means."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "every", "n_sequences")
        require_at_least(self, 0, "n_classes", "n_exemplars")
        for name in self.also:
            require(
                not EVALUATORS[name].standing and self.also.count(name) == 1,
                f"also={name!r} is there already; leave it out",
            )

    def resolved(self, data: DataConfig) -> Self:
        """Return the same with numbers that are not given filled in for the data."""
        return replace(
            self,
            n_classes=_unless_given(self.n_classes, min(UNROTATED, data.n_trained)),
            n_exemplars=_unless_given(
                self.n_exemplars, min(N_EVALUATED, data.exemplars.n_exemplars)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConfig:
    """Parameters to take over from a checkpoint of another run (weights alone, no moments)."""

    path: str = field(default="", metadata=MACHINE_PATH)
    """That run's folder."""
    run_id: str = ""
    """Its id; filled in when it is read, and checked if given."""
    step: int = 0
    """Which checkpoint."""
    parts: tuple[str, ...] = ("all",)
    """What is taken over, see `transformer.config.model`."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "step")

    @property
    def given(self) -> bool:
        """Whether there is something to start from; half of it (a step, no path) is an error."""
        return self != StartConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """All that defines a run.  Its id is a hash of what its numbers depend on."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    start: StartConfig = field(default_factory=StartConfig, metadata=OMIT_DEFAULT_FROM_ID)
    frozen: tuple[str, ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """Parts that are not trained, see `transformer.config.model`."""
    interventions: tuple[Intervention, ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """What it is trained and evaluated under, see `transformer.interventions`."""
    precision: Precision = field(default="float32", metadata=OMIT_DEFAULT_FROM_ID)
    """Parameters and arithmetic.  Parameters are float32 with `tf32` too, in which a GPU's matrix
    products round, and with `bfloat16`, in which the forward pass computes (torch's autocast)."""
    n_steps: int = field(default=60000, metadata=NOT_IN_RUN_ID)
    """Where the run ends; `resume --n-steps` moves it."""
    checkpoint_every: int = field(default=5000, metadata=NOT_IN_RUN_ID)
    """Steps between two checkpoints; 0: only the others, and the last."""
    checkpoint_at: tuple[int, ...] = field(
        default=(), metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID
    )
    """Further steps to keep a checkpoint of."""
    checkpoints_per_decade: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID)
    """Checkpoints at evenly spaced logarithms of the step, so many from each power of ten on."""
    keep: tuple[str, Literal["last", "all"]] = field(
        default=("all", "last"), metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID
    )
    """Which checkpoints stay: weights, `all` or the last so many (and those of `checkpoint_at`);
    the state that a resume needs, three times as large with Adam, of the `last` or of `all` whose
    weights stay.  Weights alone can be evaluated and started from."""
    keep_half: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID)
    """Whether weights are kept in half precision (a resume is exact all the same)."""
    init_seed: int = 5
    """Of the initial parameters."""
    data_seed: int = 2
    """Of the training sequences."""
    eval_seed: int = 1
    """Of the evaluation sets."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_steps")
        require_at_least(self, 0, "checkpoint_every", "checkpoints_per_decade")
        require_choice(self, Precision, "precision")
        for name in ("init_seed", "data_seed", "eval_seed"):
            require(
                0 <= getattr(self, name) < MAX_SEED,
                f"{name}={getattr(self, name)} is out of range; choose a whole number from 0 to "
                f"{MAX_SEED - 1}",
            )
        require(
            min(self.checkpoint_at, default=1) >= 1,
            f"checkpoint_at={self.checkpoint_at} names a step before the first; choose from 1 on",
        )
        weights = self.keep[0]
        require(
            weights == "all" or (weights.isdecimal() and int(weights) >= 1),
            f"keep={self.keep}: choose the weights `all`, or a whole number of at least 1",
        )
        if self.data.exemplars.n_classes:  # else not known before a file is given
            object.__setattr__(self, "evaluation", self.evaluation.resolved(self.data))
            self._check_evaluation()
        for name, parts in (
            ("frozen", self.frozen),
            ("start.parts", self.start.parts),
            ("optim.l2", tuple(part for part, _ in self.optim.l2)),
        ):
            check_parts(name, parts, self.model.n_layers)
            self._check_filled(name, parts)
        require(
            isinstance(self.interventions, tuple),
            f"interventions={self.interventions!r:.80}; give a tuple of them",
        )
        for each in self.interventions:
            require(
                not (isinstance(each, Intervention) and each.in_process_only),
                "a function of one's own (At) cannot be written down; register a class instead",
            )
        check_interventions(self.interventions, self.model)
        require(
            "all" not in self.frozen,
            "frozen names the part 'all', so nothing would be trained; name fewer parts, or "
            "evaluate a checkpoint instead",
        )

    def not_trained(self) -> tuple[str, ...]:
        """Parts that stay as they are: frozen, or replaced by an intervention."""
        return (*self.frozen, *(part for each in self.interventions for part in each.replaces()))

    def _check_filled(self, name: str, parts: tuple[str, ...]) -> None:
        """Refuse parts of which this model has no parameter."""
        model = self.model
        for part, there, change in (
            ("mlp", model.mlp_ratio > 0, "model.mlp_ratio is 0"),
            ("positions", model.positions == "learned", f"model.positions is {model.positions}"),
            ("final", model.norm, "the model has no norm"),
        ):
            require(
                there or part not in parts,
                f"{name} names the part {part!r}, but {change}; leave it out",
            )

    def _check_evaluation(self) -> None:
        data, evaluation = self.data, self.evaluation
        held_out = f", {data.held_out} of them held out" if data.held_out else ""
        for name, there, but in (
            ("n_classes", data.n_trained, held_out),
            ("n_exemplars", data.exemplars.n_exemplars, ""),
        ):
            require(
                getattr(evaluation, name) <= there,
                f"evaluation.{name}={getattr(evaluation, name)} is more than "
                f"data.exemplars.{name}={getattr(data.exemplars, name)}{but}; "
                f"choose at most {there}",
            )
        # the CIWL and IWL evaluators need `context` classes beside the query's
        require_distinct_classes(
            evaluation.n_classes, self.data.context + 1, "evaluation.n_classes"
        )
        for name in ("train", *evaluation.also):  # others are left out where they cannot be drawn
            try:
                EVALUATORS[name].data(data)
            except UsageError as error:
                raise UsageError(f"the evaluator {name} cannot be drawn: {error}") from error

    def is_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint of this step (1 or later) is to be kept."""
        if step == self.n_steps or step in self.checkpoint_at:
            return True
        if self.checkpoint_every and step % self.checkpoint_every == 0:
            return True
        if not (self.checkpoints_per_decade and step):
            return False
        nearest = round(self.checkpoints_per_decade * math.log10(step))
        return step == self._of_decades(nearest)

    def _of_decades(self, k: int) -> int:
        """The kth of the steps at evenly spaced logarithms."""
        return round(10 ** (k / self.checkpoints_per_decade))

    def checkpoint_count(self) -> int:
        """How many checkpoints all its steps come to."""
        n_decades = math.ceil(math.log10(self.n_steps)) * self.checkpoints_per_decade
        others = {self.n_steps, *self.checkpoint_at, *map(self._of_decades, range(n_decades))}
        others = {step for step in others if step <= self.n_steps and self.is_checkpoint(step)}
        every = self.checkpoint_every
        if not every:
            return len(others)
        return self.n_steps // every + sum(step % every != 0 for step in others)

    @property
    def sequences_per_step(self) -> int:
        """Sequences that one step sees."""
        return self.data.batch_size

    def run_id(self) -> str:
        """Twelve hexadecimal digits that two runs share only if their numbers agree."""
        canonical = json.dumps(to_dict(self, for_id=True), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def with_exemplars(self, **changes: Any) -> Self:
        """The same run with fields of `data.exemplars` changed; `UsageError` for those it lacks."""
        exemplars = self.data.exemplars.with_fields(**changes)
        return replace(self, data=replace(self.data, exemplars=exemplars))

    def with_kind(self, kind: type[ExemplarConfig]) -> Self:
        """The same run with exemplars of another kind, of as many classes, or as its file has.

        Evaluators keep to the exemplars that there are.
        """
        exemplars = kind()
        if exemplars.n_classes == 0:
            evaluation = replace(self.evaluation, n_classes=0, n_exemplars=0)
            return replace(
                self, data=replace(self.data, exemplars=exemplars), evaluation=evaluation
            )
        exemplars = exemplars.with_fields(n_classes=self.data.exemplars.n_classes)
        evaluation = replace(
            self.evaluation,
            n_exemplars=min(self.evaluation.n_exemplars, exemplars.n_exemplars),
        )
        repeats = self.data.repeats or exemplars.n_exemplars <= self.data.context
        data = replace(self.data, exemplars=exemplars, repeats=repeats)
        return replace(self, data=data, evaluation=evaluation)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_dict`; an unknown or missing name raises `UsageError`."""
        return from_dict(cls, data, "config")
