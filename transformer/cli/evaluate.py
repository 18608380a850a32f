"""Evaluate a checkpoint of a run on all evaluators, under interventions if any are given."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from coopetition.tools.printing import print_json
from transformer.cli._runs import MovedRunFlags
from transformer.config.interventions import Intervention
from transformer.config.plain import named


@dataclass(frozen=True, kw_only=True)
class Flags(MovedRunFlags):
    run: tyro.conf.Positional[Path]
    """The folder of a run."""
    step: int | None = None
    """Which checkpoint (the newest sound one without)."""
    intervene: tuple[Intervention, ...] = ()
    """Interventions as JSON, one or a list, beside those that the run was trained under:
    `{"Ablate": {"heads": ["0:0"]}}`; `interventions` lists them."""
    replace_interventions: bool = False
    """Leave out the interventions that the run was trained under (default: keep them)."""


def run(flags: Flags) -> None:
    from transformer.runs.folder import load_run
    from transformer.training.loop import evaluate_checkpoint, relocated

    run = relocated(load_run(flags.run), **flags.place())
    step, table, acted = evaluate_checkpoint(
        run,
        flags.step,
        interventions=flags.intervene,
        replace_own=flags.replace_interventions,
    )
    counts = [named(each) | {"acted": count} for each, count in acted.items()]
    if flags.json:
        about = {"step": step, "run_id": run.config.run_id()}
        print_json(about | {"interventions": counts, "evaluators": table})
        return
    print(f"step {step}")
    for each in counts:
        acted = each.pop("acted")
        print(f"{json.dumps(each)}: acted {acted} times")
    names = list(table)
    print(f"{'':26}" + "".join(f"{name:>9}" for name in names))
    for metric in table[names[0]]:
        values = (table[name][metric] for name in names)
        print(f"{metric:26}" + "".join(f"{'-' if v is None else f'{v:.4f}':>9}" for v in values))
