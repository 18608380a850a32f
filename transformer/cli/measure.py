"""Measure a run's models at checkpoints, on the sequences of its evaluators, and write a table.

Each run of an ensemble gets its own table.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from coopetition.tools.errors import UsageError
from coopetition.tools.flags import default_shown_as
from transformer.cli._runs import RunFlags, runs_with_outputs
from transformer.config.interventions import Intervention

if TYPE_CHECKING:
    from transformer.runs.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Flags(RunFlags):
    measures: tuple[str, ...]
    """Names of measures with `per` = `evaluator` in the list of the command `measures`."""
    out: Path
    """CSV file, or a folder if there are several runs; a JSON file describes each table.  A table
    of the same run, measures, evaluators and interventions is replaced; any other existing file is
    an error.  To continue after an interruption, run the same command again."""
    steps: tuple[str, ...] = ("last",)
    """Checkpoints to measure: step numbers, `all` or `last`."""
    evaluators: Annotated[tuple[str, ...], default_shown_as("all of the run")] = ()
    """Names of the evaluators on which to measure."""
    intervene: tuple[Intervention, ...] = ()
    """Interventions during the measurement, in addition to those of the training, as JSON:
    `{"Ablate": {"heads": ["0:0"]}}`; the command `interventions` lists them."""
    replace_interventions: bool = False
    """Leave out the interventions that the run was trained under."""


def run(flags: Flags) -> None:
    from coopetition.tools.console import print_json
    from transformer.runs.export import check_output
    from transformer.runs.measures import describe_table

    wanted = runs_with_outputs(flags.run, flags.out, ".csv")
    for run, out in wanted:
        check_output(run, out, describe_table(run, flags.measures, **_conditions(flags)))
        if not run.steps():
            raise UsageError(f"{run.path} has no checkpoint; train it until it has")
    for run, out in wanted:
        about = _measure(run, out, flags) | {"out": str(out)}
        if not flags.json:
            print(f"wrote {out} (checkpoints: {len(about['steps'])})")
        elif len(wanted) > 1:
            print(json.dumps(about))
        else:
            print_json(about)


def _measure(run: "RunFolder", out: Path, flags: Flags) -> dict[str, Any]:
    """Write the table of one run and its description; return the description."""
    from transformer.runs.measures import write_model_table

    # models are measured on the CPU, with the threads that training chose
    with replace(run.machine, device="cpu").use():
        return write_model_table(
            run,
            flags.measures,
            out,
            description=out.with_suffix(".json"),
            steps=_steps(flags.steps, run.steps()),
            **_conditions(flags),
        )


def _conditions(flags: Flags) -> dict[str, Any]:
    """Return the arguments that say how the models are measured."""
    return {
        "evaluators": flags.evaluators or None,
        "interventions": flags.intervene,
        "replace_own": flags.replace_interventions,
    }


def _steps(given: tuple[str, ...], saved: list[int]) -> list[int] | None:
    """Return the steps to measure; None for all."""
    if given == ("all",):
        return None
    if given == ("last",):
        return saved[-1:]
    if wrong := [each for each in given if not each.isdecimal()]:
        raise UsageError(
            f"--steps {wrong[0]} among {len(given)} values; give steps of checkpoints, or only "
            "`all` or `last`"
        )
    return [int(each) for each in given]
