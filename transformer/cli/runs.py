"""Commands on runs that have been trained, or are being trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from coopetition.tools.console import print_json, print_rows, print_written
from coopetition.tools.flags import default_shown_as
from transformer.cli._runs import (
    AS_RECORDED,
    MovedRunFlags,
    RunFlags,
    print_status,
    runs_with_outputs,
    train_and_print,
)
from transformer.config.interventions import Intervention
from transformer.config.plain import to_named_dict

if TYPE_CHECKING:
    from transformer.runs.evaluation import Evaluation


@dataclass(frozen=True, kw_only=True)
class Show(RunFlags):
    """Show the status and timeline of a run, or of each run of an ensemble."""

    def execute(self) -> None:
        from transformer.runs.folder import load_runs

        print_status(load_runs(self.run), as_json=self.json)


@dataclass(frozen=True, kw_only=True)
class Ls:
    """List the runs in a folder and below: id, status, steps and last accuracies.

    `checkpoint` is the newest one whose file is complete; `show` also verifies its contents.
    """

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Folder in which to look for runs."""
    json: bool = False
    """Print one JSON object for each run."""

    def execute(self) -> None:
        from transformer.runs.table import list_runs

        rows = list_runs(self.folder)
        if rows or self.json:
            print_rows(rows, as_json=self.json)
        else:
            print(f"no runs in {self.folder}")


@dataclass(frozen=True, kw_only=True)
class Resume(MovedRunFlags):
    """Continue a stopped run, or train a finished run further.

    Training continues from the newest undamaged checkpoint.  On a CPU with the same number of
    threads, the result is identical bit for bit to that of an uninterrupted run.
    """

    n_steps: Annotated[int | None, AS_RECORDED] = None
    """Number of training steps; a larger number trains a finished run further."""

    def execute(self) -> None:
        from transformer.runs.train import resume

        train_and_print(
            lambda: resume(self.run, n_steps=self.n_steps, **self.place()), as_json=self.json
        )


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a run's curves to a small CSV file, and a JSON file beside it that describes the run.

    Each run of an ensemble gets its own file.  Values have five significant digits, and --spacing
    leaves out lines.  A fit of the file therefore differs slightly from a fit of the run folder;
    `coopetition fit` prints how many samples it used.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run, or of runs that were trained together."""
    out: Path
    """CSV file, or a folder if there are several runs.  Curves of the same run are replaced; any
    other existing file is an error."""
    spacing: float = 0.0
    """Minimum relative spacing between lines, in sequences seen; 0.02 halves the file of a long
    run.  The highest and lowest value of each metric are always kept."""

    def execute(self) -> None:
        from transformer.runs.export import export

        for run, out in runs_with_outputs(self.run, self.out, suffix=".csv"):
            export(run, out, self.spacing)
            print_written(out, out.with_suffix(".json"))


@dataclass(frozen=True, kw_only=True)
class Tensorboard:
    """Write the curves of a run, or of each run of an ensemble, as TensorBoard events."""

    run: tyro.conf.Positional[Path]
    """Folder of a run, or of runs that were trained together."""
    out: Path
    """Output folder, with a folder for each run of an ensemble. Old events in it are replaced."""

    def execute(self) -> None:
        from transformer.runs.export import write_tensorboard

        for run, out in runs_with_outputs(self.run, self.out):
            write_tensorboard(run, out)
            print_written(out)


@dataclass(frozen=True, kw_only=True)
class Evaluate(MovedRunFlags):
    """Evaluate a checkpoint of a run on all evaluators, optionally under interventions.

    Runs that were trained together are evaluated one by one.
    """

    step: Annotated[int | None, default_shown_as("the newest undamaged one")] = None
    """Step of the checkpoint."""
    intervene: tuple[Intervention, ...] = ()
    """Interventions as JSON, one or a list, in addition to those of the training:
    `{"Ablate": {"heads": ["0:0"]}}`; the command `interventions` lists them."""
    replace_interventions: bool = False
    """Leave out the interventions that the run was trained under."""

    def execute(self) -> None:
        from transformer.runs.evaluation import evaluate_checkpoint
        from transformer.runs.folder import load_runs
        from transformer.runs.train import relocate

        runs = [relocate(run, **self.place()) for run in load_runs(self.run)]
        for run in runs:
            evaluation = evaluate_checkpoint(
                run,
                self.step,
                interventions=self.intervene,
                replace_own=self.replace_interventions,
            )
            interventions: list[dict[str, Any]] = [
                to_named_dict(each) | {"acted": n} for each, n in evaluation.acted.items()
            ]
            if not self.json:
                name = f"{run.path.name}: " if len(runs) > 1 else ""
                _print_evaluation(name, evaluation, interventions)
                continue
            report = {
                "step": evaluation.step,
                "run_id": run.config.run_id(),
                "interventions": interventions,
                "evaluators": evaluation.metrics,
            }
            if len(runs) > 1:
                print(json.dumps(report | {"path": str(run.path)}))
            else:
                print_json(report)


def _print_evaluation(
    name: str, evaluation: "Evaluation", interventions: list[dict[str, Any]]
) -> None:
    """Print a table of metrics, with a column for each evaluator."""
    print(f"{name}step {evaluation.step}")
    for each in interventions:
        acted = each.pop("acted")
        print(f"{json.dumps(each)}: acted {acted} times")
    table = evaluation.metrics
    print(f"{'':26}" + "".join(f"{evaluator:>9}" for evaluator in table))
    for metric in next(iter(table.values())):
        values = (metrics[metric] for metrics in table.values())
        print(f"{metric:26}" + "".join(f"{'-' if v is None else f'{v:.4f}':>9}" for v in values))
