"""Run a plan of training runs and measures; finished nodes are skipped.

PLAN is the plan of a paper (coopetition, coopetition_early, transience, transience_tokens),
within_class, a Python file that defines PLAN, or a TOML file (docs/trainer.md). To continue after
an interruption, run the same command again.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from coopetition.tools.console import print_rows
from coopetition.tools.errors import UsageError, UserError, abbreviate
from coopetition.tools.files import check_writable
from coopetition.tools.flags import default_shown_as
from transformer.config.run import Scale
from transformer.sweeps.slurm import Resources, read_jobs, submit_jobs
from transformer.sweeps.status import clear_failure, log_path, plan_status

if TYPE_CHECKING:
    from transformer.experiments.plans import Sweep
    from transformer.sweeps.plan import Plan

ALL = ("*",)  # the pattern of all nodes


@dataclass(frozen=True, kw_only=True)
class Flags:
    plan: tyro.conf.Positional[str]
    """coopetition, coopetition_early, transience, transience_tokens, within_class, or a file."""
    runs: Path
    """Output folder. Each node has a folder of its name in it; finished nodes are skipped."""
    scale: Scale = "cpu"
    """Scale of a paper's runs: `paper`, as published; `gpu`, hours on one GPU (transience only);
    `cpu`, for two cores; `smoke`, a few steps of each run."""
    only: tuple[str, ...] = ALL
    """Nodes to run: names, or patterns such as 'main_*'. The nodes that they need run too."""
    data: tyro.conf.UseAppendAction[tuple[tuple[str, Path], ...]] = ()
    """Kind of exemplars and its file, if the plan names no file: `tokens tokens.npy`."""
    jobs: int = 1
    """Number of processes; each runs one node at a time."""
    threads: int = 1
    """Number of CPU threads of each process."""
    device: str = "auto"
    """Device: `auto`, `cpu`, `cuda` or `mps`."""
    dry_run: bool = False
    """Print the nodes and how long they will take, and run nothing."""
    status: bool = False
    """Print the status of each node, and run nothing."""
    retry: bool = False
    """Run failed nodes again."""
    node: Annotated[str | None, default_shown_as("all nodes")] = None
    """Run only this node, in this process; the nodes that it needs must be done."""
    slurm: bool = False
    """Submit the nodes as jobs of a Slurm cluster; with --status, print the status of the jobs."""
    job: Annotated[Resources, tyro.conf.arg(name="")] = field(default_factory=Resources)
    json: bool = False
    """Print one JSON object per node."""


def run(flags: Flags) -> None:
    """Run a plan, or print its status or its estimate."""
    from transformer.config.registry import loaded_plugins
    from transformer.experiments.plans import Sweep

    _check(flags)
    sweep = Sweep(
        plan=flags.plan,
        runs=flags.runs.resolve(),
        scale=flags.scale,
        data=tuple((kind, path.resolve()) for kind, path in flags.data),
        device=flags.device,
        threads=flags.threads,
        plugins=loaded_plugins(),
    )
    if flags.node is not None:
        sweep.run_node(flags.node)
        print_rows([{"node": flags.node, "state": "done"}], as_json=flags.json)
        return
    plan = sweep.load_plan().select(flags.only)
    if flags.status:
        _print_status(plan, sweep, flags)
    elif flags.dry_run:
        _print_estimate(plan, sweep, flags)
    else:
        _run_plan(plan, sweep, flags)


def _print_status(plan: "Plan", sweep: "Sweep", flags: Flags) -> None:
    from transformer.sweeps.report import status_rows

    jobs = read_jobs(plan.nodes, sweep.runs) if flags.slurm else {}
    print_rows(status_rows(plan_status(plan, sweep.runs), jobs), as_json=flags.json)


def _print_estimate(plan: "Plan", sweep: "Sweep", flags: Flags) -> None:
    """Print the graph, and how long each node and the whole plan take."""
    from transformer.sweeps.report import Estimate, clock, graph_rows, readable_row
    from transformer.training.machine import Machine

    estimate = Estimate(sweep.runs)
    device = "auto" if flags.slurm else flags.device  # jobs run elsewhere
    estimate.time_here(plan, device, flags.threads)
    statuses = plan_status(plan, sweep.runs)
    rows = graph_rows(plan, statuses, estimate, as_jobs=flags.slurm)
    print_rows(rows if flags.json else map(readable_row, rows), as_json=flags.json)
    for row in rows:
        if row["message"]:
            print(f"{row['node']}: {row['message']}", file=sys.stderr)
    n_processes = len(plan.nodes) if flags.slurm else flags.jobs
    left = clock(estimate.seconds_left(plan, statuses, n_processes))
    unknown = [row["node"] for row in rows if row["seconds_left"] is None]
    excluded = f"; without an estimate, not included: {abbreviate(unknown)}" if unknown else ""
    print(f"{n_processes} at a time: {left}{excluded}", file=sys.stderr)
    here = Machine.choose(device, flags.threads).device
    print(f"steps without metrics were timed on this machine ({here})", file=sys.stderr)
    if flags.slurm:
        _print_jobs(sum(row["job"] is not None for row in rows), plan, flags, here)


def _print_jobs(n_jobs: int, plan: "Plan", flags: Flags, here: str) -> None:
    """Print how many jobs `--slurm` submits, their options, and the disk they need."""
    from transformer.sweeps.report import mebibytes

    options = " ".join(
        f"--{name}" if value is True else f"--{name}={value}"
        for name, value in flags.job.options(flags.threads).items()
    )
    disk = mebibytes(sum(node.disk_bytes() for node in plan.nodes.values())) or "less than 1 MiB"
    print(f"{n_jobs} jobs, each: sbatch {options}", file=sys.stderr)
    print(f"disk for all nodes: {disk}", file=sys.stderr)
    if flags.job.gpus and here == "cpu":
        print("note: for an estimate on GPUs, run this on a node that has one", file=sys.stderr)


def _run_plan(plan: "Plan", sweep: "Sweep", flags: Flags) -> None:
    """Run all that is left, here or as jobs, and print the status at the end."""
    from transformer.sweeps.local import run_locally
    from transformer.sweeps.report import status_rows

    plan.check_files()
    if flags.retry:
        for name in plan.nodes:
            clear_failure(sweep.runs, name)
    jobs = {}
    if flags.slurm:
        jobs = submit_jobs(plan, sweep.runs, sweep.work, flags.threads, flags.job)
    else:
        run_locally(plan, sweep.runs, sweep.work, flags.jobs)
    statuses = plan_status(plan, sweep.runs)
    print_rows(status_rows(statuses, jobs), as_json=flags.json)
    undone = [name for name, status in statuses.items() if status.state != "done"]
    if undone and not flags.slurm:
        raise UserError(
            f"{len(undone)} of {len(statuses)} nodes are not done, first {undone[0]}; --retry runs "
            "failed nodes again"
        )


def _check(flags: Flags) -> None:
    """Refuse flags that cannot work, before anything is written."""
    from transformer.training.machine import Machine

    for name, number in (("jobs", flags.jobs), ("threads", flags.threads)):
        if number < 1:
            raise UsageError(f"--{name} {number}: choose at least 1")
    if flags.job != Resources() and not flags.slurm:
        raise UsageError("the options of jobs have no effect without --slurm; add it")
    if flags.job.sbatch and not flags.job.check_options():
        print("note: no working sbatch here; --sbatch is not checked", file=sys.stderr)
    if not flags.only:
        raise UsageError("--only: no names; give some, or leave it out")
    kinds = [kind for kind, _ in flags.data]
    if duplicates := {kind for kind in kinds if kinds.count(kind) > 1}:
        raise UsageError(f"--data {min(duplicates)} comes more than once; give it once")
    _check_combination(flags)
    if not (flags.status or flags.slurm):  # jobs run elsewhere
        Machine.choose(flags.device, flags.threads)
    _check_folder(flags)


def _check_combination(flags: Flags) -> None:
    """Refuse flags that contradict each other."""
    given = {
        "--status": flags.status,
        "--dry-run": flags.dry_run,
        "--retry": flags.retry,
        "--slurm": flags.slurm,
        "--only": flags.only != ALL,
    }
    others = [name for name, is_given in given.items() if is_given]
    if flags.node is not None and others:
        raise UsageError(
            f"--node {flags.node} runs that node and nothing else; leave {others[0]} out, or "
            f"select nodes by --only {flags.node}"
        )
    modes = [name for name in ("--status", "--dry-run", "--retry") if given[name]]
    if len(modes) > 1:
        raise UsageError(f"{' and '.join(modes)} exclude each other; choose one")


def _check_folder(flags: Flags) -> None:
    """Refuse an output folder that belongs to a run, or that cannot be written."""
    from transformer.runs.layout import ENSEMBLE, MANIFEST

    runs = flags.runs.resolve()
    for each in (runs, *runs.parents):
        if (each / MANIFEST).exists() or (each / ENSEMBLE).exists():
            raise UsageError(
                f"--runs {flags.runs}: {each} is the folder of a run that was trained by itself; "
                "choose another folder for the sweep"
            )
    if flags.slurm and "%" in str(runs):
        raise UsageError(
            f"--runs {runs}: Slurm replaces the % in a log's path; choose another name"
        )
    nearest = next(each for each in (runs, *runs.parents) if os.path.exists(each))
    if not (nearest.is_dir() and os.access(nearest, os.X_OK)):
        raise UsageError(
            f"--runs {runs}: {nearest} is no folder that can be opened; choose another"
        )
    if not (flags.status or flags.dry_run):
        check_writable(log_path(runs, "sweep"))
