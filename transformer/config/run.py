"""A run: everything that defines its numbers, and its id."""

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
"""Size of a paper's runs.  `paper`: as published; `gpu`: hours on one GPU, where the published runs
take longer; `cpu`: what two cores can do; `smoke`: seconds, to test that everything works."""
Precision = Literal["float32", "tf32", "bfloat16", "float64"]
MAX_STEPS = 10**9 - 1  # file names have nine digits for a step
UNROTATED = 1600  # number of classes that the papers evaluate on: Omniglot's upright characters
N_EVALUATED = 5  # exemplars per class that they evaluate on


class _Derived(int):
    """A number that was not given: it follows the data when they change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """Fixed evaluation sets, drawn once from `eval_seed`."""

    every: int = 500
    """Steps between two evaluations."""
    n_sequences: int = 1000
    """Number of sequences per evaluator (the paper: 5,000)."""
    n_classes: int = 0
    """Number of classes that evaluators use (the first ones).  0: 1,600 as in the paper (the
    upright characters), or all trained classes if there are fewer."""
    n_exemplars: int = 0
    """Number of exemplars of a class that evaluators use (the first ones).  0: 5 as in the paper,
    or all if there are fewer."""
    also: tuple[str, ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """Further evaluators, such as `icl_held_out` and `train_burst_2`
    (`python -m transformer data` lists them)."""
    per_sequence: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID)
    """Whether to save the metrics of every sequence too (`sequences/step_*.npz`)."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "every", "n_sequences")
        require_at_least(self, 0, "n_classes", "n_exemplars")
        for name in self.also:
            require(
                not EVALUATORS[name].default and self.also.count(name) == 1,
                f"also={name!r} is already included; leave it out",
            )

    def resolved(self, data: DataConfig) -> Self:
        """Return a copy in which the numbers that were not given follow the data."""
        changes = {
            "n_classes": min(UNROTATED, data.n_trained),
            "n_exemplars": min(N_EVALUATED, data.exemplars.n_exemplars),
        }
        for name, value in changes.items():
            given = getattr(self, name)
            is_derived = given == 0 or isinstance(given, _Derived)
            changes[name] = _Derived(value) if is_derived else given
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConfig:
    """A warm start: parameters of another run's checkpoint (weights, not optimiser moments)."""

    path: str = field(default="", metadata=MACHINE_PATH)
    """Folder of the other run, or a .safetensors file of its parameters."""
    run_id: str = ""
    """Run id of the other run, recorded when it is read.  If given, it must match."""
    step: int = 0
    """Step of the other run's checkpoint."""
    parts: tuple[str, ...] = ("all",)
    """Parts of the model to load (`transformer.config.model` lists them)."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "step")

    @property
    def given(self) -> bool:
        """Whether any field is set (a step without a path is an error when the run is prepared)."""
        return self != StartConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that defines a run.  Its id is a hash of what its numbers depend on."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    start: StartConfig = field(default_factory=StartConfig, metadata=OMIT_DEFAULT_FROM_ID)
    frozen: tuple[str, ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """Parts that are not trained (`transformer.config.model` lists them)."""
    interventions: tuple[Intervention, ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """Interventions during training and evaluation (`python -m transformer interventions`)."""
    precision: Precision = field(default="float32", metadata=OMIT_DEFAULT_FROM_ID)
    """Precision of parameters and arithmetic.  `tf32` (rounded matrix products on a GPU) and
    `bfloat16` (the forward pass, by torch's autocast) keep parameters in float32."""
    n_steps: int = field(default=60000, metadata=NOT_IN_RUN_ID)
    """Number of training steps; `resume --n-steps` changes it."""
    checkpoint_every: int = field(default=5000, metadata=NOT_IN_RUN_ID)
    """Steps between two checkpoints; 0: only those of the next two options, and the last step."""
    checkpoint_at: tuple[int, ...] = field(
        default=(), metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID
    )
    """Further steps at which to write a checkpoint."""
    checkpoints_per_decade: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID)
    """Further checkpoints at logarithmically spaced steps: this many per factor of 10."""
    keep: tuple[str, Literal["last", "all"]] = field(
        default=("all", "last"), metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID
    )
    """Which checkpoints to keep, as WEIGHTS STATE.  WEIGHTS (for evaluation and warm starts):
    `all`, or the number of last ones, in addition to those of `checkpoint_at`.  STATE (for
    `resume`; three times as large with Adam): `last` for the last checkpoint, `all` for every one
    whose weights are kept."""
    keep_half: bool = field(default=False, metadata=OMIT_DEFAULT_FROM_ID | NOT_IN_RUN_ID)
    """Whether to store weights in half precision (resuming stays exact)."""
    init_seed: int = 5
    """Random seed for the initial parameters."""
    data_seed: int = 2
    """Random seed for the training sequences."""
    eval_seed: int = 1
    """Random seed for the evaluation sets."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "n_steps", most=MAX_STEPS)
        require_at_least(self, 0, "checkpoint_every", "checkpoints_per_decade")
        require_choice(self, Precision, "precision")
        require_at_least(self, 0, "init_seed", "data_seed", "eval_seed", most=MAX_SEED - 1)
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
        require(
            "all" not in self.frozen,
            "frozen names the part 'all', so nothing would be trained; name fewer parts, or "
            "evaluate a checkpoint instead",
        )
        self._check_parts("frozen", self.frozen, but="all")
        self._check_parts("start.parts", self.start.parts)
        for name in ("l2", "rate_factors"):
            self._check_parts(f"optim.{name}", tuple(part for part, _ in getattr(self.optim, name)))
        require(
            isinstance(self.interventions, tuple),
            f"interventions={self.interventions!r:.80}; give a tuple of them",
        )
        for each in self.interventions:
            require(
                not (isinstance(each, Intervention) and each.in_process_only),
                "a function (At) cannot be written down; register an intervention class instead",
            )
        check_interventions(self.interventions, self.model)

    def _check_parts(self, name: str, parts: tuple[str, ...], *, but: str = "") -> None:
        """Raise `UsageError` for parts of which this model has no parameter, or for `but`."""
        model = self.model
        check_parts(name, parts, model.n_layers, but=but)
        for part, exists, reason in (
            ("mlp", model.mlp_ratio > 0, "model.mlp_ratio is 0"),
            ("positions", model.positions == "learned", f"model.positions is {model.positions}"),
            ("final", model.norm, "the model has no norm"),
        ):
            require(
                exists or part not in parts,
                f"{name} names the part {part!r}, but {reason}; leave it out",
            )

    def _check_evaluation(self) -> None:
        data, evaluation = self.data, self.evaluation
        held_out = f", {data.held_out} of them held out" if data.held_out else ""
        for name, available, but in (
            ("n_classes", data.n_trained, held_out),
            ("n_exemplars", data.exemplars.n_exemplars, ""),
        ):
            require(
                getattr(evaluation, name) <= available,
                f"evaluation.{name}={getattr(evaluation, name)} is more than "
                f"data.exemplars.{name}={getattr(data.exemplars, name)}{but}; "
                f"choose at most {available}",
            )
        # the CIWL and IWL evaluators need `context` classes beside the query's
        require_distinct_classes(
            evaluation.n_classes, self.data.context + 1, "evaluation.n_classes"
        )
        for name in ("train", *evaluation.also):  # a run can lack the other default evaluators
            try:
                EVALUATORS[name].data(data)
            except UsageError as error:
                raise UsageError(f"the evaluator {name} cannot be drawn: {error}") from error

    def not_trained(self) -> tuple[str, ...]:
        """Return the parts that do not change: frozen, or replaced by an intervention."""
        return (*self.frozen, *(part for each in self.interventions for part in each.replaces()))

    def is_checkpoint(self, step: int) -> bool:
        """Return whether a step (1 or later) has a checkpoint."""
        if step == self.n_steps or step in self.checkpoint_at:
            return True
        if self.checkpoint_every and step % self.checkpoint_every == 0:
            return True
        if not (self.checkpoints_per_decade and step):
            return False
        return step == self._log_step(round(self.checkpoints_per_decade * math.log10(step)))

    def _log_step(self, k: int) -> int:
        """Return the kth of the steps at evenly spaced logarithms."""
        return round(10 ** (k / self.checkpoints_per_decade))

    def checkpoint_count(self) -> int:
        """Return how many checkpoints the whole run writes."""
        n_logs = math.ceil(math.log10(self.n_steps)) * self.checkpoints_per_decade
        others = {self.n_steps, *self.checkpoint_at, *map(self._log_step, range(n_logs))}
        others = {step for step in others if step <= self.n_steps and self.is_checkpoint(step)}
        every = self.checkpoint_every
        if not every:
            return len(others)
        return self.n_steps // every + sum(step % every != 0 for step in others)

    def with_schedule_of(self, other: "RunConfig") -> Self:
        """Return the run with the checkpoint schedule of another config, and its `keep`."""
        names = ("checkpoint_every", "checkpoint_at", "checkpoints_per_decade", "keep")
        return replace(self, **{name: getattr(other, name) for name in names})

    @property
    def sequences_per_step(self) -> int:
        """Number of sequences per step."""
        return self.data.batch_size

    def run_id(self) -> str:
        """Return twelve hexadecimal digits that two runs share only if their numbers agree."""
        canonical = json.dumps(to_dict(self, for_id=True), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def with_exemplars(self, **changes: Any) -> Self:
        """Return the run with other fields of `data.exemplars`; unknown ones raise `UsageError`."""
        exemplars = self.data.exemplars.with_fields(**changes)
        return replace(self, data=replace(self.data, exemplars=exemplars))

    def with_kind(self, kind: type[ExemplarConfig]) -> Self:
        """Return the run with another kind of exemplars: as many classes, or all of its file.

        Evaluators use no more exemplars than there are.
        """
        exemplars, data, evaluation = kind(), self.data, self.evaluation
        if exemplars.n_classes == 0:
            data = replace(data, exemplars=exemplars)
            evaluation = replace(evaluation, n_classes=0, n_exemplars=0)
        else:
            exemplars = exemplars.with_fields(n_classes=data.exemplars.n_classes)
            data = data.drawn_from(exemplars)
            evaluation = replace(
                evaluation, n_exemplars=min(evaluation.n_exemplars, exemplars.n_exemplars)
            )
        return replace(self, data=data, evaluation=evaluation)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the run that `to_dict` wrote; unfit names or values raise `UsageError`."""
        return from_dict(cls, data, "config")
