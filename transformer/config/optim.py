"""Optimiser, learning-rate schedule and penalties."""

import math
from dataclasses import dataclass, field
from typing import Literal

from transformer.config.model import in_part
from transformer.config.plain import (
    OMIT_DEFAULT_FROM_ID,
    require,
    require_at_least,
    require_choice,
)

Algorithm = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "inverse_sqrt", "cosine"]
Penalty = Literal["squared", "norm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """Optimiser, learning-rate schedule and penalties (by default Adam at a constant rate)."""

    learning_rate: float = 1e-4
    """Highest learning rate of the schedule."""
    beta1: float = 0.9
    """For adam and adamw: decay rate of the running mean of gradients."""
    beta2: float = 0.999
    """For adam and adamw: decay rate of the running mean of squared gradients."""
    epsilon: float = 1e-8
    """For adam and adamw: term added to the denominator of an update."""
    algorithm: Algorithm = field(default="adam", metadata=OMIT_DEFAULT_FROM_ID)
    """Optimiser: `adam` as in both papers, `sgd` as in the toy model, or `adamw`."""
    momentum: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)
    """For sgd: velocity = momentum x velocity + gradient."""
    weight_decay: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)
    """For adamw: a step also subtracts learning rate x weight_decay x parameter."""
    schedule: Schedule = field(default="constant", metadata=OMIT_DEFAULT_FROM_ID)
    """Learning rate after warm-up: `constant`; `inverse_sqrt`, proportional to
    sqrt(warmup_steps / step); `cosine`, falling to 0 in `decay_steps` (in neither paper)."""
    warmup_steps: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID)
    """Number of steps in which the learning rate rises linearly from 0."""
    decay_steps: int = field(default=0, metadata=OMIT_DEFAULT_FROM_ID)
    """For `cosine`: number of steps from the end of the warm-up until the rate is 0."""
    clip_norm: float = field(default=0.0, metadata=OMIT_DEFAULT_FROM_ID)
    """Largest norm of the gradient over all trained parameters of a run; larger gradients are
    scaled down to it.  0: no clipping.  (Chan et al. 2022 name a limit of 0.25, but do not apply
    it.)"""
    l2: tuple[tuple[str, float], ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """L2 penalties, as parts and coefficients: `mlp 1e-4 embeddings 1e-5`.  The parts are listed in
    `transformer.config.model`; coefficients of overlapping parts add up."""
    rate_factors: tuple[tuple[str, float], ...] = field(default=(), metadata=OMIT_DEFAULT_FROM_ID)
    """Factors on the learning rate of parts, as parts and factors: `labels 3`.  Factors of
    overlapping parts multiply."""
    penalty: Penalty = field(default="squared", metadata=OMIT_DEFAULT_FROM_ID)
    """What a penalty of coefficient c adds to the loss.  `squared`: c / 2 x the sum of squares.
    `norm`: c x the sum of the tensors' norms, as in the papers' code (there, the norm of learned
    positions also counts unused slots, which W_pos does not have here)."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "learning_rate", "beta1", "beta2", "momentum", "weight_decay")
        require_at_least(self, 0, "clip_norm", "warmup_steps", "decay_steps")
        require_choice(self, Algorithm, "algorithm")
        require_choice(self, Schedule, "schedule")
        require_choice(self, Penalty, "penalty")
        require(
            max(self.beta1, self.beta2, self.momentum) < 1,
            f"beta1={self.beta1}, beta2={self.beta2}, momentum={self.momentum}: "
            "choose each below 1",
        )
        require(
            math.isfinite(self.epsilon) and self.epsilon > 0,
            f"epsilon={self.epsilon} is out of range; choose a small positive number",
        )
        self._check_combinations()

    def _check_combinations(self) -> None:
        require(
            self.momentum == 0 or self.algorithm == "sgd",
            f"momentum={self.momentum} is for sgd; for {self.algorithm} set beta1",
        )
        require(
            self.weight_decay == 0 or self.algorithm == "adamw",
            f"weight_decay={self.weight_decay} is for adamw; with {self.algorithm} use l2",
        )
        require(
            self.schedule != "inverse_sqrt" or self.warmup_steps >= 1,
            "schedule inverse_sqrt starts from the warm-up; choose warmup_steps of at least 1",
        )
        require(
            (self.schedule == "cosine") == (self.decay_steps > 0),
            f"decay_steps={self.decay_steps} with schedule {self.schedule}; "
            "give decay_steps of at least 1 with cosine, and only with it",
        )
        for part, coefficient in self.l2:
            require(
                math.isfinite(coefficient) and coefficient >= 0,
                f"l2 of {part} is {coefficient}; choose a finite coefficient of at least 0",
            )

        for part, factor in self.rate_factors:
            require(
                math.isfinite(factor) and factor > 0,
                f"rate_factors of {part} is {factor}; choose a finite factor above 0, or freeze it",
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (the first is 1)."""
        if step < self.warmup_steps:
            return self.learning_rate * step / self.warmup_steps
        if self.schedule == "inverse_sqrt":
            return self.learning_rate * math.sqrt(self.warmup_steps / step)
        if self.schedule == "cosine":
            done = min(1.0, (step - self.warmup_steps) / self.decay_steps)
            return self.learning_rate * (1 + math.cos(math.pi * done)) / 2
        return self.learning_rate

    def rate_factor(self, name: str, frozen: tuple[str, ...] = ()) -> float:
        """Return the factor on the learning rate of the parameter `name`; 0 if it is frozen."""
        if any(in_part(name, part) for part in frozen):
            return 0.0
        return math.prod(factor for part, factor in self.rate_factors if in_part(name, part))
