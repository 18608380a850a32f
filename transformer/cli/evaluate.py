"""Evaluate a checkpoint of a run on all evaluators, under interventions if any are given.

Of runs that were trained together, each is evaluated.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from coopetition.tools.console import print_json
from transformer.cli._runs import MovedRunFlags, title
from transformer.config.interventions import Intervention
from transformer.config.plain import to_named_dict

if TYPE_CHECKING:
    from transformer.runs.loop import Evaluated


@dataclass(frozen=True, kw_only=True)
class Flags(MovedRunFlags):
    run: tyro.conf.Positional[Path]
    """The folder of a run, or of runs that were trained together."""
    step: int | None = None
    """Which checkpoint (the newest sound one without)."""
    intervene: tuple[Intervention, ...] = ()
    """Interventions as JSON, one or a list, beside those that the run was trained under:
    `{"Ablate": {"heads": ["0:0"]}}`; `interventions` lists them."""
    replace_interventions: bool = False
    """Leave out the interventions that the run was trained under (default: keep them)."""


def run(flags: Flags) -> None:
    from transformer.runs.folder import load_runs
    from transformer.runs.loop import evaluate_checkpoint, relocated

    runs = [relocated(run, **flags.place()) for run in load_runs(flags.run)]
    for run in runs:
        evaluated = evaluate_checkpoint(
            run, flags.step, interventions=flags.intervene, replace_own=flags.replace_interventions
        )
        if not flags.json:
            _print(evaluated, title(run, runs))
            continue
        report = {
            "step": evaluated.step,
            "run_id": run.config.run_id(),
            "interventions": _counts(evaluated),
            "evaluators": evaluated.metrics,
        }
        if len(runs) > 1:
            print(json.dumps(report | {"path": str(run.path)}))
        else:
            print_json(report)


def _counts(evaluated: "Evaluated") -> list[dict[str, Any]]:
    """The interventions, and how often each acted."""
    return [to_named_dict(each) | {"acted": count} for each, count in evaluated.acted.items()]


def _print(evaluated: "Evaluated", title: str) -> None:
    """Print a table of metrics, a column an evaluator."""
    print(f"{title}step {evaluated.step}")
    for each in _counts(evaluated):
        acted = each.pop("acted")
        print(f"{json.dumps(each)}: acted {acted} times")
    table = evaluated.metrics
    names = list(table)
    print(f"{'':26}" + "".join(f"{name:>9}" for name in names))
    for metric in table[names[0]]:
        values = (table[name][metric] for name in names)
        print(f"{metric:26}" + "".join(f"{'-' if v is None else f'{v:.4f}':>9}" for v in values))
