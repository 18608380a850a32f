"""Run a plan of training runs and measures; finished nodes are skipped.

PLAN is the plan of a paper (coopetition, coopetition_early, transience, transience_tokens) or of a
study (within_class, clocks), a Python file that defines PLAN, or a TOML file (docs/trainer.md).  To
continue after an interruption, run the same command again.
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
from transformer.sweeps.plan import ALL_NODES
from transformer.sweeps.slurm import Resources, read_jobs, submit_jobs
from transformer.sweeps.status import SETTLED, clear_failure, log_path, plan_status

if TYPE_CHECKING:
    from transformer.experiments.plans import Sweep
    from transformer.sweeps.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Flags:
    plan: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PLAN")]
    """coopetition, coopetition_early, transience, transience_tokens, within_class, clocks, or a
    file."""
    runs: Path
    """Output folder, with a subfolder for each node; finished nodes are skipped."""
    scale: Scale = "cpu"
    """Scale of a paper's runs: `paper`, as published; `gpu`, hours on one GPU (transience only);
    `cpu`, for two cores; `smoke`, a few steps of each run."""
    only: tuple[str, ...] = ALL_NODES
    """Nodes to run: names, or patterns such as 'main_*'. The nodes that they need run too."""
    data: tyro.conf.UseAppendAction[tuple[tuple[str, Path], ...]] = ()
    """Kind of exemplars and the file to read, if the plan names no file: `tokens tokens.npy`."""
    jobs: int = 1
    """Number of processes; each runs one node at a time."""
    threads: int = 1
    """Number of CPU threads of each process."""
    device: str = "auto"
    """Device: `auto`, `cpu`, `cuda` or `mps`."""
    dry_run: bool = False
    """Print the nodes with their steps and disk space, and run nothing."""
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
    """Run a plan, or print its nodes or their status."""
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
        _note_longer_runs(plan, sweep)
        _print_nodes(plan, sweep, flags)
    else:
        _note_longer_runs(plan, sweep)
        _run_plan(plan, sweep, flags)


def _print_status(plan: "Plan", sweep: "Sweep", flags: Flags) -> None:
    from transformer.sweeps.report import status_rows

    jobs = read_jobs(plan.nodes, sweep.runs) if flags.slurm else {}
    print_rows(status_rows(plan_status(plan, sweep.runs), jobs), as_json=flags.json)


def _print_nodes(plan: "Plan", sweep: "Sweep", flags: Flags) -> None:
    """Print the graph, what stops nodes, and what the whole plan takes."""
    from transformer.sweeps.report import mebibytes, plan_rows, readable_row, time_left

    statuses = plan_status(plan, sweep.runs)
    rows = plan_rows(plan, statuses)
    print_rows(rows if flags.json else map(readable_row, rows), as_json=flags.json)
    lines = [f"{row['node']}: {row['message']}" for row in rows if row["message"]]
    n_open = sum(row["state"] not in SETTLED for row in rows)
    n_processes = max(n_open, 1) if flags.slurm else flags.jobs
    left = time_left(plan, statuses, sweep.runs, n_processes)
    lines.append(f"training left, from the runs in {sweep.runs}: {left} ({n_processes} at a time)")
    if flags.slurm:
        options = (
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in flags.job.options(flags.threads).items()
        )
        disk = sum(node.disk_bytes() for node in plan.nodes.values())
        lines.append(f"{n_open} jobs, each: sbatch {' '.join(options)}")
        lines.append(f"disk for all nodes: {mebibytes(disk) or 'less than 1 MiB'}")
    print("\n".join(lines), file=sys.stderr)


def _run_plan(plan: "Plan", sweep: "Sweep", flags: Flags) -> None:
    """Run all that is left, here or as jobs, and print the status at the end."""
    from transformer.sweeps.local import LocalSweep
    from transformer.sweeps.report import status_rows

    plan.check_files()
    if flags.retry:
        for name in plan.nodes:
            clear_failure(sweep.runs, name)
    jobs = {}
    if flags.slurm:
        jobs = submit_jobs(plan, sweep.runs, sweep.work, flags.threads, flags.job)
    else:
        LocalSweep(plan, sweep.runs, sweep.work, flags.jobs).run()
    statuses = plan_status(plan, sweep.runs)
    print_rows(status_rows(statuses, jobs), as_json=flags.json)
    undone = [name for name, status in statuses.items() if status.state != "done"]
    if undone and not flags.slurm:
        failed = [status for status in statuses.values() if status.state == "failed"]
        advice = "the messages of failed nodes say what to do"
        if any(status.can_retry for status in failed):
            advice = "--retry runs failed nodes again"
        raise UserError(
            f"{len(undone)} of {len(statuses)} nodes are not done, first {undone[0]}; {advice}"
        )


def _note_longer_runs(plan: "Plan", sweep: "Sweep") -> None:
    from transformer.sweeps.report import longer_runs

    if longer := longer_runs(plan, sweep.runs):
        print(
            f"note: recorded runs keep more steps than the plan has: {abbreviate(longer)}; move "
            "their folders away to train them anew",
            file=sys.stderr,
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
    modes = {
        "--node": flags.node is not None,
        "--status": flags.status,
        "--dry-run": flags.dry_run,
        "--retry": flags.retry,
        "--slurm": flags.slurm and flags.node is not None,
        "--only": flags.only != ALL_NODES and flags.node is not None,
    }
    given = [name for name, is_given in modes.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; choose one")
    if not (flags.status or flags.slurm):  # jobs run elsewhere
        Machine.choose(flags.device, flags.threads)
    _check_folder(flags)


def _check_folder(flags: Flags) -> None:
    """Refuse an output folder that belongs to a run, or that cannot be written."""
    from transformer.runs.layout import ENSEMBLE, MANIFEST

    runs = flags.runs.resolve()
    for each in (runs, *runs.parents):
        if (each / MANIFEST).exists() or (each / ENSEMBLE).exists():
            raise UsageError(
                f"--runs {flags.runs}: {each} is a run folder; choose another folder for the sweep"
            )
    if flags.slurm and "%" in str(runs):
        raise UsageError(
            f"--runs {runs}: Slurm replaces the % in a log's path; choose another name"
        )
    nearest = next(each for each in (runs, *runs.parents) if os.path.exists(each))
    if not (nearest.is_dir() and os.access(nearest, os.X_OK)):
        raise UsageError(
            f"--runs {runs}: {nearest} is not a folder, or cannot be opened; choose another"
        )
    if not (flags.status or flags.dry_run):
        check_writable(log_path(runs, "sweep"))
