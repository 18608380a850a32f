"""Evaluate a checkpoint of a run on all evaluators."""

from dataclasses import dataclass

from coopetition.tools.printing import print_json
from transformer.cli._runs import MovedRunFlags


@dataclass(frozen=True, kw_only=True)
class Flags(MovedRunFlags):
    step: int | None = None
    """Which checkpoint (the newest sound one without)."""


def run(flags: Flags) -> None:
    from transformer.runs.folder import load_run
    from transformer.training.loop import evaluate_checkpoint, relocated

    run = relocated(load_run(flags.run), **flags.place())
    step, table = evaluate_checkpoint(run, flags.step)
    if flags.json:
        print_json({"step": step, "run_id": run.config.run_id(), "evaluators": table})
        return
    print(f"step {step}")
    names = list(table)
    print(f"{'':26}" + "".join(f"{name:>9}" for name in names))
    for metric in table[names[0]]:
        values = (table[name][metric] for name in names)
        print(f"{metric:26}" + "".join(f"{'-' if v is None else f'{v:.4f}':>9}" for v in values))
