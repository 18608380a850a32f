"""The state in memory of runs that are trained together, from batches to metrics.

It touches no disk: `training.session` writes down what it hands out.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from coopetition.tools.errors import UserError
from coopetition.tools.run_files import Row
from transformer.config import RunConfig
from transformer.config.interventions import Intervention
from transformer.data.exemplar_sets import Exemplars
from transformer.data.sequences import BLOCK_STEPS, Sequences, training_block
from transformer.measures.metrics import evaluate, means
from transformer.model.hooks import Intervened
from transformer.model.loaded import Model
from transformer.runs.checkpoint import Checkpoint
from transformer.runs.warm_start import read_warm_start
from transformer.training.execution import repeated_step, settle
from transformer.training.machine import Machine
from transformer.training.step import RunSettings, TrainState, step_numbers

NOISE_STREAM = 1  # keeps the noise of a step apart from the sequences of its block

Metrics = dict[str, dict[str, Tensor]]  # of each sequence (n,), by evaluator and name


Method = TypeVar("Method", bound=Callable[..., Any])


def _on_its_machine(method: Method) -> Method:
    """A method of an ensemble with its threads and precision, whatever the process has."""

    @wraps(method)
    def run(self: "Ensemble", *arguments: Any) -> Any:
        with self.machine.use(self.configs[0].precision):
            return method(self, *arguments)

    return run  # pyright: ignore[reportReturnType]


class Ensemble:
    """Runs that are trained together; a single one is an ensemble of one.

    Attributes
    ----------
    configs : what defines the runs, in the order of the train state's run axis
    exemplars : by `source_of` the configs
    evaluators : of each run, sequences by evaluator
    step : steps done, of all
    failures : run -> why it is given up; its neighbours go on
    acted : how often each intervention acted when a run was last evaluated
    """

    def __init__(
        self,
        configs: list[RunConfig],
        exemplars: dict[str, Exemplars],
        evaluators: list[dict[str, Sequences]],
        machine: Machine,
    ) -> None:
        self.configs = configs
        self.machine = machine
        self.d_features = exemplars[source_of(configs[0])].d_features
        self.train_state = new_train_state(configs, self.d_features, machine)
        self.device = self.train_state.device
        self.exemplars = {source: each.to(self.device) for source, each in exemplars.items()}
        of_source = {source: each.fingerprint() for source, each in exemplars.items()}
        self.fingerprints = [of_source[source_of(config)] for config in configs]
        self.evaluators = [
            {name: sequences.to(self.device) for name, sequences in sets.items()}
            for sets in evaluators
        ]
        self.step = 0
        self.steps_since = 0  # since the last evaluation
        self.failures: dict[int, str] = {}
        self.acted: Counter[Intervention] = Counter()
        self._gradient_norms: list[float] = []
        self._block: _Block | None = None
        self._intervened: dict[tuple[Any, ...], Intervened] = {}

    @property
    def live(self) -> list[int]:
        """Numbers of the runs that have not failed."""
        return [number for number in range(len(self.configs)) if number not in self.failures]

    def begin(self) -> None:
        """Take over what the runs' `start`s say; a run that goes on from a checkpoint has it."""
        for number, config in enumerate(self.configs):
            if config.start.given:
                _, parameters = read_warm_start(config.start)
                self.train_state.load_parameters(number, parameters, config.start.parts)

    def restore(self, number: int, checkpoint: Checkpoint) -> None:
        """Take over a run's state, if it belongs to the run and its data.

        The runs that go on need states of one step.
        """
        with self._taking_over(number, checkpoint):
            state = dict(checkpoint.tensors)
            self.steps_since = int(state.pop("steps_since"))
            self.train_state.load_tensors(number, state)

    def restore_weights(self, number: int, checkpoint: Checkpoint) -> None:
        """Take over a run's weights alone, to be evaluated; refuses what `restore` does."""
        with self._taking_over(number, checkpoint):
            self.train_state.load_parameters(number, checkpoint.tensors, ("all",))

    @contextmanager
    def _taking_over(self, number: int, checkpoint: Checkpoint) -> Iterator[None]:
        run_id, name = self.configs[number].run_id(), f"the checkpoint of step {checkpoint.step}"
        if checkpoint.run_id != run_id:
            raise UserError(f"{name} is of run {checkpoint.run_id}, not {run_id}; move it away")
        if checkpoint.exemplars != self.fingerprints[number]:
            raise UserError(
                f"the exemplars are not those that {name} was trained on (fingerprint "
                f"{self.fingerprints[number]}, expected {checkpoint.exemplars}); restore the "
                "data set"
            )
        try:
            yield
        except (KeyError, ValueError) as error:
            raise UserError(f"{name} is not a run's ({error}); move it away") from error
        self.step = checkpoint.step

    def settle(self) -> tuple[Machine, str]:
        """Choose what the machine leaves open, see `execution.settle`, and execute steps so."""
        config = self.configs[0]
        step = repeated_step(
            self.train_state,
            context=config.data.context,
            d_features=self.d_features,
            n_labels=config.data.exemplars.n_classes,
            batch_size=config.data.batch_size,
        )
        n_steps = config.n_steps - self.step
        self.machine, why = settle(self.train_state, step, self.machine, n_steps)
        return self.machine, why

    def is_evaluation(self, step: int) -> bool:
        """Whether a line of metrics follows this step: every so many, and the last."""
        config = self.configs[0]  # its schedule is all runs'
        return step == config.n_steps or step % config.evaluation.every == 0

    @_on_its_machine
    def advance(self) -> None:
        """One training step of all runs."""
        block, offset = divmod(self.step, BLOCK_STEPS)
        if self._block is None or offset == 0:
            self._block = _Block(self.configs, block, self.device)
        sequences = self._block.sequences[offset]
        batch = self._features(sequences.exemplars), sequences.labels, sequences.target
        if self.is_evaluation(self.step + 1):
            self._gradient_norms = self.train_state.gradient_norms(*batch)
        self.train_state.step(*batch, self._block.numbers[offset])
        self.step += 1
        self.steps_since += 1

    def _features(self, index: Tensor) -> Tensor:
        """Features (R, C + 1, B, D) of the exemplars at an index (R, C + 1, B)."""
        dtype = self.train_state.dtype
        if len(self.exemplars) == 1:
            features = next(iter(self.exemplars.values())).features(index, dtype)
        else:
            features = torch.stack(
                [
                    self.exemplars[source_of(config)].features(of_run, dtype)
                    for config, of_run in zip(self.configs, index, strict=True)
                ]
            )
        for number, config in enumerate(self.configs):
            if config.data.noise:
                features[number] += config.data.noise * self._noise(config, features[number])
        return features

    def _noise(self, config: RunConfig, like: Tensor) -> Tensor:
        """Standard normal noise of this step: a function of the data seed and the step."""
        seed = np.random.SeedSequence([config.data_seed, NOISE_STREAM, self.step])
        generator = torch.Generator().manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        return torch.randn(like.shape, generator=generator).to(like)

    @_on_its_machine
    def evaluate(
        self, further: tuple[Intervention, ...] = (), replace_own: bool = False
    ) -> dict[int, Metrics]:
        """Metrics of each sequence now, of each run that has not failed.

        Under the run's interventions and `further` ones, or these alone (`replace_own`); `acted`
        then tells how often.
        """
        self._give_up_diverged()
        under = {
            number: (() if replace_own else self.configs[number].interventions)
            for number in self.live
        }
        return {number: self._evaluate_run(number, own, further) for number, own in under.items()}

    def _evaluate_run(
        self, number: int, own: tuple[Intervention, ...], further: tuple[Intervention, ...]
    ) -> Metrics:
        config = self.configs[number]
        parameters, exemplars = self.train_state.of_run(number), self.exemplars[source_of(config)]
        intervened = self._intervened_run(number, own, further)
        if intervened:
            intervened.acted.clear()
            self.acted = intervened.acted
        return {
            name: evaluate(parameters, config.model, exemplars, sequences, intervened)
            for name, sequences in self.evaluators[number].items()
        }

    def _intervened_run(
        self, number: int, own: tuple[Intervention, ...], further: tuple[Intervention, ...]
    ) -> Intervened | None:
        """Return a run's own interventions and further ones, made once; None without any."""
        key, model = (number, own, further), self.configs[number].model
        if (own or further) and key not in self._intervened:
            parameters = self.train_state.of_run(number)
            alone = Intervened([own], model, parameters)
            # grafts read their checkpoints here
            self._intervened[key] = Intervened([(*own, *further)], model, parameters, alone)
        return self._intervened.get(key)

    @_on_its_machine
    def metric_rows(self, evaluated: dict[int, Metrics]) -> dict[int, Row]:
        """A metrics line by run of what `evaluate` gave at this step, and of the steps since.

        Runs whose loss is not finite have none and become failures.
        """
        losses = self.train_state.loss_sum.tolist()
        rows = {}
        for number, each in evaluated.items():
            row: Row = {
                "step": self.step,
                "sequences": self.step * self.configs[number].sequences_per_step,
                "batch_loss": losses[number] / self.steps_since if self.steps_since else None,
                "learning_rate": self.configs[number].optim.rate(self.step) if self.step else None,
                "gradient_norm": self._gradient_norm(number),
            }
            for name, metrics in each.items():
                row |= {f"{name}/{metric}": value for metric, value in means(metrics).items()}
            if any(row[f"{name}/loss"] is None for name in each):
                self._give_up(number, f"the parameters give no finite loss after step {self.step}")
            else:
                rows[number] = row
        self.train_state.loss_sum.zero_()
        self.steps_since = 0
        return rows

    def _gradient_norm(self, number: int) -> float | None:
        norm = self._gradient_norms[number] if self._gradient_norms else math.nan
        return norm if math.isfinite(norm) else None

    def _give_up(self, number: int, why: str) -> None:
        rate = self.configs[number].optim.learning_rate
        self.failures[number] = f"{why}; lower learning_rate={rate} in a new folder"

    def _give_up_diverged(self) -> None:
        for number, step in enumerate(self.train_state.failed_at.tolist()):
            if step and number not in self.failures:
                self._give_up(number, f"the loss of step {step} is not finite")

    def model(self, number: int = 0) -> Model:
        """A copy of a run's transformer as it is now, in float32 on the CPU."""
        weights = self.train_state.of_run(number).items()
        copies = {name: value[0].detach().cpu().float().clone() for name, value in weights}
        return Model(self.configs[number].model, copies, self.step)

    def checkpoints(self) -> dict[int, Checkpoint]:
        """The state of each run that has not failed, if its parameters are finite."""
        self._give_up_diverged()
        checkpoints, are_finite = {}, self.train_state.are_finite()
        for number in self.live:
            if not are_finite[number]:
                self._give_up(number, f"the parameters are not finite after step {self.step}")
                continue
            tensors = self.train_state.tensors(number)
            tensors["steps_since"] = torch.tensor(self.steps_since)
            run_id = self.configs[number].run_id()
            checkpoints[number] = Checkpoint(self.step, run_id, self.fingerprints[number], tensors)
        return checkpoints


class _Block:
    """The batches and step numbers of the next steps, of all runs, with the step axis first."""

    def __init__(self, configs: list[RunConfig], block: int, device: torch.device) -> None:
        each = [training_block(config.data, config.data_seed, block) for config in configs]
        self.sequences = Sequences(
            torch.stack([of_run.exemplars for of_run in each], 1),
            torch.stack([of_run.labels for of_run in each], 1),
            torch.stack([of_run.target for of_run in each], 1),
        ).to(device)
        first = block * BLOCK_STEPS + 1
        numbers = [
            [step_numbers(config.optim, step) for config in configs]
            for step in range(first, first + BLOCK_STEPS)
        ]
        double = configs[0].precision == "float64"
        self.numbers = (
            torch.tensor(numbers, dtype=torch.float64 if double else torch.float32)
            .mT.contiguous()  # (step, 3, run)
            .to(device)
        )


def source_of(config: RunConfig) -> str:
    """What tells one set of exemplars from another."""
    return repr(config.data.exemplars)


def new_train_state(configs: list[RunConfig], d_features: int, machine: Machine) -> TrainState:
    """A train state of runs at their initial parameters."""
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
