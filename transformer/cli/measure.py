"""Measure a run's models on its evaluators, over training: a table, a row a reading."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_json
from transformer.cli._runs import RunFlags
from transformer.config.interventions import Intervention


@dataclass(frozen=True, kw_only=True)
class Flags(RunFlags):
    run: tyro.conf.Positional[Path]
    """The folder of a run."""
    measures: tuple[str, ...]
    """Which ones; `measures` lists them."""
    out: Path
    """The CSV file, beside which a JSON says what it is of.  A call that was stopped is gone on
    with by the same call; a file that is there is left alone."""
    steps: tuple[str, ...] = ("last",)
    """Checkpoints: steps, `all` or `last`."""
    evaluators: tuple[str, ...] = ()
    """On which sequences (without: all that the run has)."""
    intervene: tuple[Intervention, ...] = ()
    """Interventions that the models are measured under, as `evaluate` takes them."""


def run(flags: Flags) -> None:
    from coopetition.tools.printing import print_json
    from transformer.measures.history import history
    from transformer.runs.folder import load_run

    run = load_run(flags.run)
    if not run.steps():
        raise UsageError(f"{run.path} has no checkpoint; train it until it has")
    if flags.out.exists():
        raise UsageError(f"--out {flags.out} is there already; remove it or choose another name")
    with run.machine.use():  # with the threads that its training chose
        about = history(
            run,
            flags.measures,
            flags.out,
            steps=_steps(flags.steps, run.steps()),
            evaluators=flags.evaluators or None,
            interventions=flags.intervene,
        )
    write_json(flags.out.with_suffix(".json"), about)
    if flags.json:
        print_json(about | {"out": str(flags.out)})
    else:
        print(f"wrote {flags.out}: {len(about['steps'])} checkpoints")


def _steps(given: tuple[str, ...], there: list[int]) -> list[int] | None:
    if given == ("all",):
        return None
    if given == ("last",):
        return there[-1:]
    if wrong := [each for each in given if not each.isdecimal()]:
        raise UsageError(
            f"--steps {wrong[0]} among {len(given)}; give steps of checkpoints, or `all` or `last` "
            "alone"
        )
    return [int(each) for each in given]
