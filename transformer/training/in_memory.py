"""Training without a folder, by a loop of one's own."""

from transformer.config import RunConfig
from transformer.data.evaluation import draw_evaluators
from transformer.runs.ensemble import check_together
from transformer.runs.machine import Machine
from transformer.training.ensemble import Ensemble
from transformer.training.prepare import prepare


def in_memory(*configs: RunConfig, machine: Machine | None = None) -> Ensemble:
    """Runs at their first step; nothing is written.

    `advance()` makes a step of all of them, `metric_rows(evaluate())` gives what a run folder's
    metrics have, by number of the run, `model(number)` its transformer; `failures` tells which have
    diverged.  The steps, evaluations and batches are those of `train`, number for number; the
    configs' `n_steps` and `every` are the caller's to heed.  Both
    compute with `ensemble.machine.threads`, those that were found to be fastest.
    """
    check_together({f"run {number}": config for number, config in enumerate(configs)})
    machine = machine or Machine.choose(n_steps=configs[0].n_steps)
    ready, exemplars = prepare(list(configs), machine.device)
    ensemble = Ensemble(ready, exemplars, [draw_evaluators(each) for each in ready], machine)
    ensemble.begin()
    ensemble.settle()
    return ensemble
