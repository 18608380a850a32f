"""The state in memory of runs that are trained together, from batches to metrics."""

import numpy as np
import torch
from torch import Tensor

from coopetition.tools.errors import UserError
from coopetition.tools.files import write_npz
from coopetition.tools.metrics_file import Row
from transformer.config import RunConfig
from transformer.data.evaluation_sets import evaluation_sets
from transformer.data.exemplars import Exemplars
from transformer.data.sequences import BLOCK_STEPS, Sequences, training_block
from transformer.measures.metrics import evaluate, means
from transformer.model.parameters import Shapes, parameter_shapes, running_shapes
from transformer.runs.checkpoint import Checkpoint, write_checkpoint
from transformer.runs.folder import RunFolder
from transformer.runs.machine import Machine
from transformer.runs.warm_start import read_warm_start
from transformer.training.optimisers import step_numbers
from transformer.training.step import RunSettings, TrainState

NOISE_STREAM = 1  # keeps the noise of a step apart from the sequences of its block


class Ensemble:
    """Runs that are trained together; a single one is an ensemble of one.

    Attributes
    ----------
    runs : their folders, in the order of the train state's run axis
    exemplars : by `source_of` the runs' configs
    step : steps done, of all
    failures : run -> why it is given up; its neighbours go on
    """

    def __init__(self, runs: list[RunFolder], exemplars: dict[str, Exemplars]) -> None:
        self.runs = runs
        d_features = exemplars[source_of(runs[0].config)].d_features
        self.train_state = new_train_state(
            [run.config for run in runs], d_features, runs[0].machine
        )
        self.device = self.train_state.device
        self.exemplars = {source: each.to(self.device) for source, each in exemplars.items()}
        of_source = {source: each.fingerprint() for source, each in exemplars.items()}
        self.fingerprints = [of_source[source_of(run.config)] for run in runs]
        self.evaluators = [
            {name: sequences.to(self.device) for name, sequences in evaluation_sets(run).items()}
            for run in runs
        ]
        self.step = 0
        self.steps_since = 0  # since the last evaluation
        self.failures: dict[int, str] = {}
        self._block: _Block | None = None

    @property
    def live(self) -> list[int]:
        """Numbers of the runs that have not failed."""
        return [number for number in range(len(self.runs)) if number not in self.failures]

    def begin(self) -> None:
        """Take over what the runs' `start`s say; a run that goes on from a checkpoint has it."""
        for number, run in enumerate(self.runs):
            if run.config.start.given:
                _, parameters = read_warm_start(run.config.start)
                self.train_state.load_parameters(number, parameters, run.config.start.parts)

    def restore(self, checkpoints: dict[int, Checkpoint]) -> None:
        """Take over checkpoints of one step, by run, if they belong to the runs and their data."""
        for number, checkpoint in checkpoints.items():
            run, run_id = self.runs[number], self.runs[number].config.run_id()
            if checkpoint.run_id != run_id:
                raise UserError(
                    f"a checkpoint in {run.path} is of run {checkpoint.run_id}, not {run_id}; "
                    "move it away"
                )
            if checkpoint.exemplars != self.fingerprints[number]:
                raise UserError(
                    f"the exemplars are not those that {run.path} was trained on (fingerprint "
                    f"{self.fingerprints[number]}, expected {checkpoint.exemplars}); restore the "
                    "data set"
                )
            try:
                state = dict(checkpoint.tensors)
                self.steps_since = int(state.pop("steps_since"))
                self.train_state.load_tensors(number, state)
            except (KeyError, ValueError) as error:
                raise UserError(
                    f"the checkpoint of step {checkpoint.step} in {run.path} is not a run's "
                    f"({error}); move it away"
                ) from error
            self.step = checkpoint.step

    def advance(self) -> None:
        """One training step of all runs."""
        block, offset = divmod(self.step, BLOCK_STEPS)
        if self._block is None or offset == 0:
            self._block = _Block(self.runs, block, self.device)
        batch = self._block.sequences[offset]
        self.train_state.step(
            self._features(batch.exemplars), batch.labels, batch.target, self._block.numbers[offset]
        )
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
                    self.exemplars[source_of(run.config)].features(own, dtype)
                    for run, own in zip(self.runs, index, strict=True)
                ]
            )
        for number, run in enumerate(self.runs):
            if run.config.data.noise:
                features[number] += run.config.data.noise * self._noise(run, features[number])
        return features

    def _noise(self, run: RunFolder, like: Tensor) -> Tensor:
        """Standard normal noise of this step: a function of the data seed and the step."""
        seed = np.random.SeedSequence([run.config.data_seed, NOISE_STREAM, self.step])
        generator = torch.Generator().manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))
        return torch.randn(like.shape, generator=generator).to(like)

    def metric_rows(self) -> dict[int, Row]:
        """A metrics line for this step by run; those whose loss is not finite become failures."""
        self._give_up_diverged()
        losses = self.train_state.loss_sum.tolist()
        rows = {}
        for number in self.live:
            row: Row = {
                "step": self.step,
                "sequences": self.step * self.runs[number].config.sequences_per_step,
                "batch_loss": losses[number] / self.steps_since if self.steps_since else None,
            }
            each = self.evaluate_each(number)
            for name, metrics in each.items():
                row |= {f"{name}/{metric}": value for metric, value in means(metrics).items()}
            if row["train/loss"] is None:
                self._give_up(number, f"the parameters give no finite loss after step {self.step}")
                continue
            if self.runs[number].config.evaluation.per_sequence:
                self._write_each(number, each)
            rows[number] = row
        self.train_state.loss_sum.zero_()
        self.steps_since = 0
        return rows

    def evaluate_each(self, number: int = 0) -> dict[str, dict[str, Tensor]]:
        """Metrics of each sequence by evaluator, of one run."""
        config = self.runs[number].config
        return {
            name: evaluate(
                self.train_state.of_run(number),
                config.model,
                self.exemplars[source_of(config)],
                sequences,
            )
            for name, sequences in self.evaluators[number].items()
        }

    def _write_each(self, number: int, each: dict[str, dict[str, Tensor]]) -> None:
        arrays = {
            f"{name}/{metric}": values.cpu().numpy()
            for name, metrics in each.items()
            for metric, values in metrics.items()
        }
        write_npz(self.runs[number].path / "sequences" / f"step_{self.step:09d}.npz", **arrays)

    def _give_up(self, number: int, why: str) -> None:
        run = self.runs[number]
        kept = f" (checkpoints up to step {run.steps()[-1]} are kept)" if run.steps() else ""
        self.failures[number] = (
            f"{why}{kept}; lower learning_rate={run.config.optim.learning_rate} in a new folder"
        )

    def _give_up_diverged(self) -> None:
        for number, step in enumerate(self.train_state.failed_at.tolist()):
            if step and number not in self.failures:
                self._give_up(number, f"the loss of step {step} is not finite")

    def save(self) -> None:
        """Write a checkpoint of each run that has not failed, and whose parameters are finite."""
        self._give_up_diverged()
        for number in self.live:
            run, state = self.runs[number], self.train_state.tensors(number)
            if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
                self._give_up(number, f"the parameters are not finite after step {self.step}")
                continue
            tensors = state | {"steps_since": torch.tensor(self.steps_since)}
            checkpoint = Checkpoint(
                self.step, run.config.run_id(), self.fingerprints[number], tensors
            )
            write_checkpoint(run.checkpoint_path(self.step), checkpoint)


class _Block:
    """The batches and step numbers of the next steps, of all runs, with the step axis first."""

    def __init__(self, runs: list[RunFolder], block: int, device: torch.device) -> None:
        each = [training_block(run.config.data, run.config.data_seed, block) for run in runs]
        self.sequences = Sequences(
            torch.stack([own.exemplars for own in each], 1),
            torch.stack([own.labels for own in each], 1),
            torch.stack([own.target for own in each], 1),
        ).to(device)
        first = block * BLOCK_STEPS + 1
        numbers = [
            [step_numbers(run.config.optim, step) for run in runs]
            for step in range(first, first + BLOCK_STEPS)
        ]
        double = runs[0].config.precision == "float64"
        self.numbers = (
            torch.tensor(numbers, dtype=torch.float64 if double else torch.float32)
            .mT.contiguous()  # (step, 3, run)
            .to(device)
        )


def source_of(config: RunConfig) -> str:
    """What tells one set of exemplars from another."""
    return repr(config.data.exemplars)


def shapes_of(config: RunConfig, exemplars: Exemplars) -> Shapes:
    """Shapes of a run's parameters, running statistics among them."""
    trained = parameter_shapes(
        config.model,
        context=config.data.context,
        d_features=exemplars.d_features,
        n_labels=exemplars.n_classes,
    )
    return trained | running_shapes(config.model)


def new_train_state(configs: list[RunConfig], d_features: int, machine: Machine) -> TrainState:
    """A train state of runs at their initial parameters; sets how torch multiplies matrices."""
    config = configs[0]
    tf32 = config.precision == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    return TrainState(
        config.model,
        [RunSettings(each.init_seed, each.optim, each.frozen) for each in configs],
        context=config.data.context,
        d_features=d_features,
        n_labels=config.data.exemplars.n_classes,
        precision=config.precision,
        device=machine.use(),
        execution=machine.execution,
    )
