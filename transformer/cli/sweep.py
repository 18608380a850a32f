"""Work off a plan of runs and measures, by some processes; go on with one that was stopped.

The plan is that of a paper (coopetition, coopetition_early, transience, transience_tokens), one of
ours (within_class), a Python file that defines PLAN, or a TOML file (docs/trainer.md).  Each node's
work lies in a folder of its name.
"""

import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from coopetition.tools.console import print_rows
from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import check_writable
from transformer.config.run import Scale
from transformer.sweeps.slurm import Resources

if TYPE_CHECKING:
    from transformer.sweeps.call import Call
    from transformer.sweeps.plan import Plan

ALL = ("*",)  # pattern of all nodes


@dataclass(frozen=True, kw_only=True)
class Flags:
    plan: tyro.conf.Positional[str]
    """coopetition, coopetition_early, transience, transience_tokens, within_class, or a file."""
    runs: Path
    """The folder of all that is made; what is there is not made again."""
    scale: Scale = "cpu"
    """Size of a paper's runs: `paper`; `gpu`, what one GPU trains in hours (transience only);
    `cpu`, what two cores can do; `smoke`, some steps of each run."""
    only: tuple[str, ...] = ALL
    """Names of nodes or patterns such as 'main_*'; what they need is done too."""
    data: tyro.conf.UseAppendAction[tuple[tuple[str, Path], ...]] = ()
    """A kind of exemplars and its file, where the plan leaves that open: tokens tokens.npy."""
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
    from transformer.experiments.plans import do_node, plan_of
    from transformer.sweeps.call import Call

    _check(flags)
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
        print_rows([{"node": flags.node, "state": "done"}], as_json=flags.json)
        return
    plan = plan_of(call).select(flags.only)
    if flags.status:
        _tell(plan, call.runs, flags)
    elif flags.dry_run:
        _estimate(plan, call.runs, flags)
    else:
        _work(plan, call, flags)


def _tell(plan: "Plan", runs: Path, flags: Flags) -> None:
    """Print how each node stands."""
    from transformer.sweeps.report import status_rows
    from transformer.sweeps.slurm import jobs_of
    from transformer.sweeps.status import standings

    jobs = jobs_of(plan.nodes, runs) if flags.slurm else {}
    print_rows(status_rows(plan, standings(plan, runs), jobs), as_json=flags.json)


def _estimate(plan: "Plan", runs: Path, flags: Flags) -> None:
    """Print the graph, and how long each node and all will take."""
    from coopetition.tools.errors import abbreviate
    from transformer.sweeps.report import Estimate, clock, graph_rows, in_words
    from transformer.sweeps.slurm import planned_jobs
    from transformer.sweeps.status import standings
    from transformer.training.machine import Machine

    estimate = Estimate(runs)
    device = "auto" if flags.slurm else flags.device  # jobs run elsewhere
    estimate.time_here(plan, device, flags.threads)
    now = standings(plan, runs)
    jobs = planned_jobs(plan, runs, now) if flags.slurm else None
    rows = graph_rows(plan, now, estimate, jobs)
    print_rows(rows if flags.json else map(in_words, rows), as_json=flags.json)
    for row in rows:
        if row["message"]:
            print(f"{row['node']}: {row['message']}", file=sys.stderr)
    at_once = len(plan.nodes) if flags.slurm else flags.jobs
    left = estimate.seconds_left(plan, now, at_once)
    unknown = [row["node"] for row in rows if row["seconds_left"] is None]
    without = f"; not estimated, nor counted: {abbreviate(unknown)}" if unknown else ""
    print(f"{at_once} at once: {clock(left)}{without}", file=sys.stderr)
    here = Machine.choose(device, flags.threads).device
    print(f"steps that were not trained yet are timed on this machine ({here})", file=sys.stderr)
    if jobs is not None:
        _describe_jobs(len(jobs), plan, flags, here)


def _describe_jobs(n_jobs: int, plan: "Plan", flags: Flags, here: str) -> None:
    """Print what `--slurm` submits: how many jobs, with which options, for how much disk."""
    from transformer.sweeps.report import size
    from transformer.sweeps.slurm import sbatch_options

    given = sbatch_options(flags.threads, flags.job).items()
    options = " ".join(
        f"--{name}" if value is True else f"--{name}={value}" for name, value in given
    )
    disk = size(sum(node.disk_bytes() for node in plan.nodes.values())) or "less than 1 MiB"
    print(f"{n_jobs} jobs, each: sbatch {options}", file=sys.stderr)
    print(f"all nodes together take {disk} of disk", file=sys.stderr)
    if flags.job.gpus and here == "cpu":
        print(
            "note: the jobs use GPUs, on which a step takes another time; for an estimate, call "
            "this on a node with such a GPU",
            file=sys.stderr,
        )


def _work(plan: "Plan", call: "Call", flags: Flags) -> None:
    """Do all that is left, here or as jobs, and print how it ended."""
    from transformer.experiments.plans import node_process
    from transformer.sweeps.local import Pool
    from transformer.sweeps.report import status_rows
    from transformer.sweeps.slurm import submit
    from transformer.sweeps.status import forget_failure, standings

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


def _check(flags: Flags) -> None:
    """Refuse what cannot be done, before anything is made."""
    from transformer.runs.layout import ENSEMBLE, MANIFEST
    from transformer.sweeps.status import log_path
    from transformer.training.machine import Machine

    for name, number in (("jobs", flags.jobs), ("threads", flags.threads)):
        if number < 1:
            raise UsageError(f"--{name} {number}: choose at least 1")
    if flags.job != Resources() and not flags.slurm:
        raise UsageError("what jobs ask for is of no use without --slurm; add it")
    if not flags.only:
        raise UsageError("--only: no names; give some, or leave it out")
    kinds = [kind for kind, _ in flags.data]
    if twice := {kind for kind in kinds if kinds.count(kind) > 1}:
        raise UsageError(f"--data {min(twice)} comes more than once; give it once")
    _check_alone(flags)
    if not (flags.status or flags.slurm):  # jobs run elsewhere
        Machine.choose(flags.device, flags.threads)
    runs = flags.runs.resolve()
    for each in (runs, *runs.parents):
        if (each / MANIFEST).exists() or (each / ENSEMBLE).exists():
            raise UsageError(
                f"--runs {flags.runs}: {each} is the folder of a run that was trained by itself; "
                "name a folder for the sweep"
            )
    if flags.slurm and "%" in str(runs):
        raise UsageError(
            f"--runs {runs}: Slurm replaces the % in a log's path; choose another name"
        )
    nearest = next(each for each in (runs, *runs.parents) if os.path.exists(each))
    if not (nearest.is_dir() and os.access(nearest, os.X_OK)):
        raise UsageError(f"--runs {runs}: {nearest} is no folder to be opened; name another place")
    if not (flags.status or flags.dry_run):
        check_writable(log_path(runs, "sweep"))


def _check_alone(flags: Flags) -> None:
    """Refuse flags that each want something else to be done."""
    others = {
        "--status": flags.status,
        "--dry-run": flags.dry_run,
        "--retry": flags.retry,
        "--slurm": flags.slurm,
        "--only": flags.only != ALL,
    }
    given = [name for name, is_given in others.items() if is_given]
    if flags.node is not None and given:
        raise UsageError(
            f"--node {flags.node} does that node and nothing else; leave {given[0]} out, or choose "
            f"nodes by --only {flags.node}"
        )
    if flags.status and flags.dry_run:
        raise UsageError("--status and --dry-run both tell instead of doing; choose one")
    if flags.retry and (flags.status or flags.dry_run):
        raise UsageError("--retry does something, --status and --dry-run only tell; leave one out")
