"""Measure a run's models on its evaluators, over training: a table, a row a reading."""

from dataclasses import dataclass
from pathlib import Path

from coopetition.tools.errors import UsageError
from transformer.cli._runs import RunFlags
from transformer.config.interventions import Intervention


@dataclass(frozen=True, kw_only=True)
class Flags(RunFlags):
    measures: tuple[str, ...]
    """Which ones; `measures` lists them."""
    out: Path
    """The CSV file; a call that was stopped is gone on with by the same call."""
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
    steps = _steps(flags.steps, run.steps())
    history(
        run,
        flags.measures,
        flags.out,
        steps=steps,
        evaluators=flags.evaluators or None,
        interventions=flags.intervene,
    )
    if flags.json:
        print_json({"out": str(flags.out), "run_id": run.config.run_id(), "steps": steps})
    else:
        print(f"wrote {flags.out}: {len(steps)} checkpoints")


def _steps(given: tuple[str, ...], there: list[int]) -> list[int]:
    if given == ("all",):
        return there
    if given == ("last",):
        return there[-1:]
    if wrong := [each for each in given if not each.isdecimal()]:
        raise UsageError(f"--steps {wrong[0]}; give steps of checkpoints, `all` or `last`")
    return [int(each) for each in given]
