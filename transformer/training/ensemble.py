"""Runs that are trained together, in memory: from batches to metrics and states.

It touches no disk: `transformer.runs.session` writes what it returns.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from coopetition.tools.errors import UserError
from coopetition.tools.run_files import Row
from transformer.config import RunConfig
from transformer.data.exemplar_sets import Exemplars, RunExemplars
from transformer.data.sequences import Sequences
from transformer.measures.metrics import all_means, evaluate_runs
from transformer.model.hooks import Intervened
from transformer.model.loaded import Model
from transformer.model.parameters import Parameters
from transformer.training.batches import BatchStream
from transformer.training.execution import choose_execution, repeated_step
from transformer.training.machine import Machine
from transformer.training.step import RunSettings, TrainState

NOISE_STREAM = 1  # keeps the noise of a step apart from the sequences of its block

Metrics = dict[str, dict[str, Tensor]]  # of each sequence (n,), by evaluator and name


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedRun:
    """A run with all that its config refers to, looked up and checked."""

    config: RunConfig
    """Names the exemplars, the start and the grafts by what was read."""
    exemplars: Exemplars
    """One object for all runs of the same set."""
    fingerprint: str
    """Digest of the exemplars."""
    evaluation_sets: dict[str, Sequences] = field(default_factory=dict)
    """Sequences by evaluator."""
    start: dict[str, Tensor] = field(default_factory=dict)
    """Parameters to take over from elsewhere, by name; none for a run that is resumed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A run's state, or its weights alone, after `step` steps."""

    step: int
    run_id: str
    exemplars: str
    """Fingerprint of the exemplars that it was trained on."""
    tensors: dict[str, Tensor]

    def check_trained_on(self, fingerprint: str) -> None:
        """Raise `UserError` unless it was trained on the exemplars of this fingerprint."""
        if self.exemplars != fingerprint:
            raise UserError(
                f"the exemplars are not those that the checkpoint of step {self.step} was trained "
                f"on (fingerprint {fingerprint}, expected {self.exemplars}); restore the data set"
            )

    def wrong_tensors_error(self, error: Exception) -> UserError:
        """Return the error of tensors that are not those of a run."""
        return UserError(
            f"the checkpoint of step {self.step} is not a run's ({error}); move it away"
        )


Method = TypeVar("Method", bound=Callable[..., Any])


def _on_machine(method: Method) -> Method:
    """Run a method of an ensemble with its threads and precision, whatever the process has."""

    @wraps(method)
    def run(self: "Ensemble", *arguments: Any, **keywords: Any) -> Any:
        with self.machine.use(self.config.precision):
            return method(self, *arguments, **keywords)

    return run  # pyright: ignore[reportReturnType]


class Ensemble:
    """Runs that are trained together; a single one is an ensemble of one.

    Attributes
    ----------
    configs : the runs' configs, in the order of the train state's run axis
    config : the first, whose schedule is that of all
    machine : the machine, what it left open resolved by `choose_execution`
    step : steps done
    failures : run number -> why it was given up; the others continue
    """

    def __init__(self, runs: list[ResolvedRun], machine: Machine) -> None:
        self.configs = [run.config for run in runs]
        self.config = self.configs[0]
        self.run_ids = [config.run_id() for config in self.configs]
        self.fingerprints = [run.fingerprint for run in runs]
        self.machine = machine
        self.train_state = new_train_state(self.configs, runs[0].exemplars.d_features, machine)
        for number, run in enumerate(runs):
            if run.start:
                self.train_state.load_parameters(number, run.start, run.config.start.parts)
        self.device = self.train_state.device
        placed = {id(run.exemplars): run.exemplars.to(self.device) for run in runs}
        self.exemplars = [placed[id(run.exemplars)] for run in runs]
        self._run_exemplars = RunExemplars(self.exemplars)
        self.evaluation_sets = [
            {name: sequences.to(self.device) for name, sequences in run.evaluation_sets.items()}
            for run in runs
        ]
        self.step = 0
        self.steps_since = 0  # since the last evaluation
        self.failures: dict[int, str] = {}
        self._gradient_norms: list[float] = []
        # on a CPU, a thread would take its time from the steps
        is_ahead = self.device.type == "cuda"
        self._batches = BatchStream(self.configs, self.device, is_ahead)
        self._intervened: dict[tuple[int, ...], Intervened] = {}

    @property
    def live(self) -> list[int]:
        """Numbers of the runs that have not failed."""
        return [number for number in range(len(self.configs)) if number not in self.failures]

    def restore(self, number: int, state: Checkpoint) -> None:
        """Take over a run's state; one of another run or other exemplars raises `UserError`.

        All runs that continue need states of one step.
        """
        state.check_trained_on(self.fingerprints[number])
        run_id = self.run_ids[number]
        if state.run_id != run_id:
            raise UserError(
                f"the checkpoint of step {state.step} is of run {state.run_id}, not {run_id}; move "
                "it away"
            )
        tensors = dict(state.tensors)
        try:
            self.steps_since = int(tensors.pop("steps_since"))
            self.train_state.load_tensors(number, tensors)
        except (KeyError, ValueError) as error:
            raise state.wrong_tensors_error(error) from error
        self.step = state.step

    def choose_execution(self) -> str:
        """Resolve what the machine leaves open; return the reason for its number of threads."""
        step = repeated_step(self.train_state, self.config.data.batch_size)
        n_steps = self.config.n_steps - self.step
        self.machine, why = choose_execution(self.train_state, step, self.machine, n_steps)
        return why

    def is_evaluation(self, step: int) -> bool:
        """Return whether runs are evaluated after `step`: by `evaluation.every`, and at the end."""
        return step == self.config.n_steps or step % self.config.evaluation.every == 0

    @_on_machine
    def advance(self) -> None:
        """Train one step of all runs."""
        sequences, numbers = self._batches.step(self.step)
        batch = self._features(sequences.exemplars), sequences.labels, sequences.target
        if self.is_evaluation(self.step + 1):
            self._gradient_norms = self.train_state.gradient_norms(*batch)
        self.train_state.step(*batch, numbers)
        self.step += 1
        self.steps_since += 1

    def _features(self, index: Tensor) -> Tensor:
        """Return the features (R, C + 1, B, D) of exemplars at an index (R, C + 1, B)."""
        features = self._run_exemplars.features(index, self.train_state.dtype)
        for number, config in enumerate(self.configs):
            if config.data.noise:
                features[number] += config.data.noise * self._noise(config, features[number])
        return features

    def _noise(self, config: RunConfig, like: Tensor) -> Tensor:
        """Return standard normal noise, a function of the data seed and the step."""
        seed = np.random.SeedSequence([config.data_seed, NOISE_STREAM, self.step])
        generator = torch.Generator().manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        return torch.randn(like.shape, generator=generator).to(like)

    @_on_machine
    def evaluate(self) -> dict[int, Metrics]:
        """Return the metrics of each sequence, by number of the runs that have not failed."""
        self._give_up_diverged()
        evaluated = {}
        for numbers in self._groups_to_evaluate():
            evaluated |= self._evaluate_together(numbers)
        return evaluated

    def _groups_to_evaluate(self) -> list[list[int]]:
        """Return the runs that are evaluated at once: those whose sets have the same shapes."""
        if self.device.type == "cpu":  # one run's activations stay in its caches
            return [[number] for number in self.live]
        groups: dict[Any, list[int]] = {}
        for number in self.live:
            sets = self.evaluation_sets[number].items()
            shapes = tuple((name, sequences.exemplars.shape) for name, sequences in sets)
            groups.setdefault(shapes, []).append(number)
        return [*groups.values()]

    def _evaluate_together(self, numbers: list[int]) -> dict[int, Metrics]:
        """Return what `evaluate` does, of some runs at once."""
        parameters = self.train_state.select_parameters(numbers)
        intervened = self._intervene(numbers, parameters)
        exemplars = RunExemplars([self.exemplars[number] for number in numbers])
        evaluated: dict[int, Metrics] = {number: {} for number in numbers}
        for name in self.evaluation_sets[numbers[0]]:
            sets = [self.evaluation_sets[number][name] for number in numbers]
            together = evaluate_runs(parameters, self.config.model, exemplars, sets, intervened)
            for position, number in enumerate(numbers):
                metrics = {metric: values[position] for metric, values in together.items()}
                evaluated[number][name] = metrics
        return evaluated

    def _intervene(self, numbers: list[int], parameters: Parameters) -> Intervened | None:
        """Return the interventions of some runs, made once; None without any."""
        key, own = tuple(numbers), [self.configs[number].interventions for number in numbers]
        if any(own) and key not in self._intervened:
            self._intervened[key] = Intervened(own, self.config.model, parameters)
        return self._intervened.get(key)

    @_on_machine
    def metric_rows(self, evaluated: dict[int, Metrics]) -> dict[int, Row]:
        """Return a line of metrics by run, from what `evaluate` returned after this step.

        It covers the steps since the last call.  Runs whose loss is not finite get no line and
        become failures.
        """
        losses = self.train_state.loss_sum.tolist()
        of_runs = iter(all_means([own for each in evaluated.values() for own in each.values()]))
        rows = {}
        for number, each in evaluated.items():
            config = self.configs[number]
            row: Row = {
                "step": self.step,
                "sequences": self.step * config.sequences_per_step,
                "batch_loss": losses[number] / self.steps_since if self.steps_since else None,
                "learning_rate": config.optim.rate(self.step) if self.step else None,
                "gradient_norm": self._gradient_norm(number),
            }
            for name, means in zip(each, of_runs, strict=False):
                row |= {f"{name}/{metric}": value for metric, value in means.items()}
            if any(row[f"{name}/loss"] is None for name in each):
                why = f"the parameters give no finite loss after step {self.step}"
                self._give_up(number, why, self.step)
            else:
                rows[number] = row
        self.train_state.loss_sum.zero_()
        self.steps_since = 0
        return rows

    def _gradient_norm(self, number: int) -> float | None:
        norm = self._gradient_norms[number] if self._gradient_norms else math.nan
        return norm if math.isfinite(norm) else None

    def _give_up(self, number: int, why: str, n_updates: int) -> None:
        """Record a failure; before the first update, the learning rate cannot be its cause."""
        config = self.configs[number]
        source = ", start.path" if config.start.given else ""
        data = f"data.noise={config.data.noise}, data.exemplars{source}"
        advice = f"no update was made yet, so change {data}"
        if n_updates:
            advice = f"lower learning_rate={config.optim.learning_rate}"
        self.failures[number] = f"{why}; {advice} in a new folder"

    def _give_up_diverged(self) -> None:
        for number, step in enumerate(self.train_state.failed_at.tolist()):
            if step and number not in self.failures:
                self._give_up(number, f"the loss of step {step} is not finite", step - 1)

    def model(self, number: int = 0) -> Model:
        """Return a copy of a run's transformer as it is now, in float32 on the CPU."""
        weights = self.train_state.run_parameters(number).items()
        copies = {name: value[0].detach().cpu().float().clone() for name, value in weights}
        config = self.configs[number]
        return Model(config.model, copies, self.step, config.interventions)

    def states(self) -> dict[int, Checkpoint]:
        """Return the state of each run that has not failed and whose parameters are finite."""
        self._give_up_diverged()
        states, are_finite = {}, self.train_state.are_finite()
        for number in self.live:
            if not are_finite[number]:
                why = f"the parameters are not finite after step {self.step}"
                self._give_up(number, why, self.step)
                continue
            tensors = self.train_state.tensors(number)
            tensors["steps_since"] = torch.tensor(self.steps_since)
            run_id, fingerprint = self.run_ids[number], self.fingerprints[number]
            states[number] = Checkpoint(self.step, run_id, fingerprint, tensors)
        return states


def new_train_state(configs: list[RunConfig], d_features: int, machine: Machine) -> TrainState:
    """Return a train state of runs at their initial parameters."""
    config = configs[0]
    return TrainState(
        config.model,
        [RunSettings(c.init_seed, c.optim, c.not_trained(), c.interventions) for c in configs],
        context=config.data.context,
        d_features=d_features,
        n_labels=config.data.exemplars.n_classes,
        precision=config.precision,
        device=torch.device(machine.device),
    )
