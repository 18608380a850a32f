"""Work off a plan of runs and measures, by some processes; go on with one that was stopped.

The plan is that of a paper (coopetition, transience), a Python file that defines PLAN, or a TOML
file (docs/how_to_add.md).  Each node's work lies in a folder of its name.
"""

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.printing import print_rows
from transformer.config.scale import Scale
from transformer.sweeps.slurm import Resources


@dataclass(frozen=True, kw_only=True)
class Flags:
    plan: tyro.conf.Positional[str]
    """coopetition, transience, or a file."""
    runs: Path
    """The folder of all that is made; what is there is not made again."""
    scale: Scale = "cpu"
    """Of a paper's plan: `paper`; `cpu`, what two cores can do; `smoke`, some steps of each run."""
    only: tuple[str, ...] = ()
    """Names of nodes or patterns such as 'main_*'; what they need is done too."""
    data: tyro.conf.UseAppendAction[tuple[tuple[str, Path], ...]] = ()
    """A kind of exemplars and its file, where the plan leaves that open: omniglot omniglot.npz."""
    jobs: int = 1
    """Processes at once, each with one node."""
    threads: int = 1
    """CPU threads of each."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    dry_run: bool = False
    """Print what would be done and how long it will take; do nothing."""
    status: bool = False
    """Print how each node stands; do nothing."""
    retry: bool = False
    """Try failed nodes again."""
    node: str | None = None
    """Do this node alone, in this process, if what it needs is done."""
    slurm: bool = False
    """Give the nodes to a Slurm cluster as jobs, and end; with --status, say how its jobs stand."""
    job: Annotated[Resources, tyro.conf.arg(name="")] = field(default_factory=Resources)
    json: bool = False
    """Print one JSON object a node."""


def run(flags: Flags) -> None:
    from transformer.config.registry import loaded_plugins
    from transformer.experiments.plans import do_node, node_process, plan_of
    from transformer.sweeps.call import Call
    from transformer.sweeps.estimate import Estimate, clock
    from transformer.sweeps.pool import Pool
    from transformer.sweeps.report import graph_rows, status_rows
    from transformer.sweeps.slurm import jobs_of, submit
    from transformer.sweeps.standing import forget_failure, standings

    for name, number in (("jobs", flags.jobs), ("threads", flags.threads)):
        if number < 1:
            raise UsageError(f"--{name} {number}: choose at least 1")
    if flags.job != Resources() and not flags.slurm:
        raise UsageError("what jobs ask for is of no use without --slurm; add it")
    call = Call(
        plan=flags.plan,
        runs=flags.runs.resolve(),
        scale=flags.scale,
        data=tuple((kind, path.resolve()) for kind, path in flags.data),
        device=flags.device,
        threads=flags.threads,
        plugins=loaded_plugins(),
    )
    if flags.node is not None:
        do_node(call, flags.node)
        return
    plan = plan_of(call)
    if flags.only:
        plan = plan.select(flags.only)
    if flags.status:
        jobs = jobs_of(plan.nodes, call.runs) if flags.slurm else {}
        print_rows(status_rows(plan, standings(plan, call.runs), jobs), as_json=flags.json)
        return
    if flags.dry_run:
        estimate = Estimate(call.runs)
        estimate.time_here(plan, flags.device, flags.threads)
        now = standings(plan, call.runs)
        print_rows(graph_rows(plan, now, estimate), as_json=flags.json)
        at_once = len(plan.nodes) if flags.slurm else flags.jobs
        left = estimate.seconds_left(plan, now, at_once)
        print(f"{at_once} at once: {clock(left)}", file=sys.stderr)
        return
    plan.check_files()
    if flags.retry:
        for name in plan.nodes:
            forget_failure(call.runs, name)
    entry = partial(node_process, call)
    if flags.slurm:
        jobs = submit(plan, call.runs, entry, flags.threads, flags.job)
        print_rows(status_rows(plan, standings(plan, call.runs), jobs), as_json=flags.json)
        return
    ended = Pool(plan, call.runs, entry, flags.jobs).run()
    print_rows(status_rows(plan, ended), as_json=flags.json)
    failed = [name for name, each in ended.items() if each.state != "done"]
    if failed:
        raise UserError(
            f"{len(failed)} of {len(ended)} nodes are not done, first {failed[0]}; --retry tries "
            "those that failed again"
        )
