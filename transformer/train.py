"""Training one run from a config to its last step, with exact resume."""

import math
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from coopetition.errors import UsageError, UserError
from coopetition.progress import ProgressReport
from transformer.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from transformer.config import OmniglotConfig, RunConfig
from transformer.devices import choose_device, set_threads
from transformer.evaluators import draw_evaluators
from transformer.exemplars import Exemplars, load_exemplars
from transformer.learner import Learner
from transformer.measure import evaluate
from transformer.runs import MetricsFile, RunFolder, check_new_folder, create_run, open_run
from transformer.sequences import BLOCK_STEPS, Sequences, training_block


def train(
    config: RunConfig, out: Path, *, device: str = "auto", threads: int | None = None
) -> RunFolder:
    """Train a new run into the folder `out`.

    SIGINT and SIGTERM end it after a checkpoint; `resume` goes on from there, bit for bit as if it
    had not stopped (on a CPU with the same number of threads).
    """
    chosen = choose_device(device)
    set_threads(threads)
    check_new_folder(out)
    exemplars = load_exemplars(config.data.exemplars)  # first: a bad data set leaves no folder
    if isinstance(config.data.exemplars, OmniglotConfig):
        config = config.at_data(str(Path(config.data.exemplars.path).resolve()))
    run = create_run(out, config, str(chosen), torch.get_num_threads())
    return _continue(run, exemplars=exemplars)


def resume(
    path: Path,
    *,
    n_steps: int | None = None,
    device: str | None = None,
    data_path: str | None = None,
) -> RunFolder:
    """Go on with a run from its newest sound checkpoint, or from the start if it has none.

    `n_steps` moves the run's end, so that a finished run can be trained further; `device` and
    `data_path` replace the recorded ones.
    """
    return _continue(open_run(path, device=device, data_path=data_path), n_steps)


def train_or_resume(config: RunConfig, out: Path, *, threads: int | None = None) -> RunFolder:
    """The finished run of `config` in the folder `out`: trained, gone on with, or there already.

    Raises `UserError` if it was stopped before its last step, and `UsageError` if the folder holds
    another run, or a longer one.
    """
    if (out / "manifest.json").exists():
        found = open_run(out).config
        if found.run_id() != config.run_id() or found.n_steps > config.n_steps:
            raise UsageError(f"{out} holds another run ({found.run_id()}); remove it")
        run = resume(out, n_steps=config.n_steps)
    else:
        run = train(config, out, threads=threads)
    status = run.status()
    if status["status"] != "finished":
        raise UserError(f"{out}: {status['message']}; give the same command again to go on")
    return run


def _continue(
    run: RunFolder, n_steps: int | None = None, exemplars: Exemplars | None = None
) -> RunFolder:
    with run.lock(), stop_signals() as stop:
        if n_steps is not None:
            run = run.with_length(n_steps)
        newest, _ = run.latest_checkpoint()
        if newest and newest.step == run.config.n_steps and run.recorded_status() == "finished":
            return run  # nothing to do, not even to look for its data
        run.set_status("running", "")
        try:
            finished_step = _train_loop(run, exemplars, stop)
        except BaseException as error:
            run.set_status("failed", str(error) or type(error).__name__)
            raise
        if finished_step == run.config.n_steps:
            run.set_status("finished", f"all {finished_step} steps done")
        else:
            run.set_status("interrupted", f"stopped on request at step {finished_step}; resume it")
    return run


def _train_loop(run: RunFolder, exemplars: Exemplars | None, stop: list[int]) -> int:
    """Train until the last step or a stop signal; returns the step reached."""
    trainer, config = Trainer(run, exemplars), run.config
    checkpoint = newest_checkpoint(run)
    if checkpoint is not None:
        trainer.restore(checkpoint)
    run.cut_metrics(trainer.step if checkpoint else -1)
    with (
        closing(MetricsFile(run.metrics_path)) as metrics,
        ProgressReport("train", config.n_steps, "steps", done=trainer.step) as progress,
    ):
        if trainer.step == 0:
            metrics.append(trainer.measure())
        while trainer.step < config.n_steps and not stop:
            trainer.advance()
            last = trainer.step == config.n_steps
            note = None
            if last or trainer.step % config.evaluation.every == 0:
                row = trainer.measure()
                metrics.append(row)
                note = describe(row)
            if last or trainer.step % config.checkpoint_every == 0:
                trainer.save()
            progress.advance(note=note)
        if stop and trainer.step % config.checkpoint_every:
            trainer.save()
    return trainer.step


def describe(row: dict[str, Any]) -> str:
    """A metrics line in a few words: batch loss and in-context accuracies."""
    names = ("icl", "flip", "ciwl")
    accuracies = "  ".join(f"{name} {row[f'{name}/in_context_accuracy']:.2f}" for name in names)
    return f"loss {row['batch_loss'] or math.nan:.3f}  {accuracies}"


def newest_checkpoint(run: RunFolder) -> Checkpoint | None:
    """The newest sound checkpoint, with a warning about each newer one that is damaged."""
    checkpoint, damaged = run.latest_checkpoint()
    if damaged and checkpoint is None:
        raise UserError(
            f"{damaged[-1]}, and so are all others; remove them to start {run.path} anew"
        )
    for sentence in damaged:
        print(f"warning: {sentence}; using the one before it", file=sys.stderr)
    return checkpoint


class Trainer:
    """The state of one run in memory."""

    def __init__(self, run: RunFolder, exemplars: Exemplars | None = None) -> None:
        self.run, self.config = run, run.config
        self.device = choose_device(run.device)
        set_threads(run.threads)
        drawn = load_exemplars(self.config.data.exemplars) if exemplars is None else exemplars
        self.exemplars = drawn.to(self.device)
        self.fingerprint = self.exemplars.fingerprint()
        self.evaluators = {
            name: sequences.to(self.device)
            for name, sequences in draw_evaluators(self.config).items()
        }
        self.learner = new_learner(self.config, self.exemplars, self.device)
        self.step = 0
        self.loss_sum = torch.zeros(1, device=self.device)  # since the last evaluation
        self.step_count = 0  # steps since then
        self._block: Sequences | None = None

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over a checkpoint's state, if it belongs to the run and its data."""
        run, run_id = self.run, self.config.run_id()
        if checkpoint.run_id != run_id:
            raise UserError(
                f"a checkpoint in {run.path} is of run {checkpoint.run_id}, not {run_id}; "
                "move it away"
            )
        if checkpoint.exemplars != self.fingerprint:
            raise UserError(
                f"the exemplars are not those that {run.path} was trained on (fingerprint "
                f"{self.fingerprint}, expected {checkpoint.exemplars}); restore the data set"
            )
        try:
            self.learner.load_state(0, checkpoint.tensors)
            self.loss_sum.copy_(checkpoint.tensors["loss_sum"])
            self.step_count = int(checkpoint.tensors["step_count"])
        except (KeyError, ValueError) as error:
            raise UserError(
                f"the checkpoint of step {checkpoint.step} in {run.path} is not a run's ({error}); "
                "move it away"
            ) from error
        self.step = checkpoint.step

    def advance(self) -> None:
        """One training step."""
        block, offset = divmod(self.step, BLOCK_STEPS)
        if self._block is None or offset == 0:
            self._block = training_block(self.config.data, self.config.data_seed, block).to(
                self.device
            )
        batch = self._block[offset]
        self.loss_sum += self.learner.step(
            self.exemplars.features(batch.exemplars).unsqueeze(0),
            batch.labels.unsqueeze(0),
            batch.target.unsqueeze(0),
        )
        self.step += 1
        self.step_count += 1

    def measure(self) -> dict[str, Any]:
        """A metrics line for this step; a loss that is not finite raises `UserError`."""
        row: dict[str, Any] = {
            "step": self.step,
            "sequences": self.step * self.config.sequences_per_step,
            "batch_loss": None,
        }
        if self.step:
            row["batch_loss"] = self._check_finite(float(self.loss_sum)) / self.step_count
            self.loss_sum.zero_()
            self.step_count = 0
        for name, values in self.evaluate().items():
            row |= {f"{name}/{metric}": value for metric, value in values.items()}
        return row

    def evaluate(self) -> dict[str, dict[str, float | None]]:
        """Mean of each metric by evaluator; None where it is undefined."""
        table: dict[str, dict[str, float | None]] = {}
        for name, sequences in self.evaluators.items():
            metrics = evaluate(
                self.learner.parameters, self.config.model, self.exemplars, sequences
            )
            means = {metric: float(values.mean()) for metric, values in metrics.items()}
            self._check_finite(means["loss"])
            table[name] = {
                metric: mean if math.isfinite(mean) else None for metric, mean in means.items()
            }
        return table

    def _check_finite(self, loss: float) -> float:
        if not math.isfinite(loss):
            raise UserError(
                f"the loss became {loss} by step {self.step}; the checkpoints before are kept: "
                f"lower learning_rate={self.config.optim.learning_rate}"
            )
        return loss

    def save(self) -> None:
        """Write a checkpoint."""
        self._check_finite(float(self.loss_sum))
        tensors = self.learner.state(0) | {
            "loss_sum": self.loss_sum.cpu().clone(),
            "step_count": torch.tensor(self.step_count),
        }
        checkpoint = Checkpoint(self.step, self.config.run_id(), self.fingerprint, tensors)
        write_checkpoint(self.run.checkpoint_path(self.step), checkpoint)


def new_learner(config: RunConfig, exemplars: Exemplars, device: torch.device) -> Learner:
    """A learner of one run at its initial parameters."""
    return Learner(
        config.model,
        config.optim,
        context=config.data.context,
        d_features=exemplars.d_features,
        n_labels=exemplars.n_classes,
        init_seeds=[config.init_seed],
        device=device,
    )


def evaluate_checkpoint(
    run: RunFolder, step: int | None = None
) -> tuple[int, dict[str, dict[str, float | None]]]:
    """Step and metrics by evaluator of a checkpoint: the newest sound one, or that of `step`."""
    if step is None:
        checkpoint = newest_checkpoint(run)
        if checkpoint is None:
            raise UserError(f"{run.path} has no checkpoint yet; resume it until it has")
    else:
        path = run.checkpoint_path(step)
        if not path.exists():
            raise UsageError(f"{run.path} has no checkpoint of step {step}; it has {run.steps()}")
        checkpoint = read_checkpoint(path)
    trainer = Trainer(run)
    trainer.restore(checkpoint)
    return checkpoint.step, trainer.evaluate()


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that fills when SIGINT or SIGTERM comes, so that a loop can end in good order."""
    received: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {
        kind: signal.signal(kind, lambda number, _: received.append(number)) for kind in kinds
    }
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
