"""Run the nodes of a plan as jobs of a Slurm cluster: one job a node, after those that it needs.

Slurm's queue says which jobs there are, by name, and the disk says how far a node is; nothing else
is recorded. A job that is told to stop, because its time is nearly over or another job pre-empts
it, writes a checkpoint, ends with 143, and is requeued.
"""

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.flags import default_shown_as
from transformer.sweeps.plan import Plan
from transformer.sweeps.status import (
    FOLDER,
    Busy,
    failure_path,
    hold_node,
    log_path,
    plan_status,
)
from transformer.sweeps.work import Work, open_nodes

NOTICE_S = 90  # a job is told to stop so long before its end; Slurm may do so 60 s earlier
MIN_MINUTES = 5  # leaves time for work before the notice
SUBMISSION = ".submission"  # lock of the submission of jobs; no node can have this name
FINAL_STATES = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"}
FINAL_STATES |= {"OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"}
# options that submitit has parameters for
SUBMITIT = ("partition", "account", "time", "mem", "gpus-per-node", "cpus-per-task")
# The last lines of a job's script. `scancel` and `scontrol requeue` end the shell as well, so that
# a cancelled job is not requeued.
AFTER_WORK = """\
code=$?
if [ $code = 143 ] || [ $code = {busy} ]; then scontrol requeue "$SLURM_JOB_ID"
elif [ $code != 0 ] && [ ! -e {failed} ]; then echo "its job ended with $code; see "{log} > {failed}
fi
exit $code"""
CLUSTER_DEFAULT = default_shown_as("the cluster's")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Options of the jobs of --slurm. The number of CPUs is that of --threads."""

    partition: Annotated[str | None, CLUSTER_DEFAULT] = None
    """Partition of the jobs."""
    account: Annotated[str | None, CLUSTER_DEFAULT] = None
    """Account of the jobs."""
    minutes: int = 240
    """Time limit of each job, in minutes; longer work is queued again and continues."""
    memory_gb: Annotated[float | None, CLUSTER_DEFAULT] = None
    """Memory of each job, in GiB."""
    gpus: int = 0
    """GPUs of each job that trains runs or embeds drawings; other jobs get none."""
    sbatch: Annotated[tuple[str, ...], default_shown_as("none")] = ()
    """Further options of sbatch, without dashes: `qos=long exclusive`."""

    def __post_init__(self) -> None:
        if self.gpus < 0:
            raise UsageError(f"gpus={self.gpus}; choose 0 (no GPU) or more")
        if self.memory_gb is not None and not self.memory_gb > 0:
            raise UsageError(f"memory_gb={self.memory_gb:g}; choose more than 0")
        if self.minutes < MIN_MINUTES:
            raise UsageError(
                f"minutes={self.minutes}; choose {MIN_MINUTES} or more: a job is told to stop up "
                f"to {NOTICE_S + 60} s before its end"
            )

    def options(self, threads: int) -> dict[str, Any]:
        """Return the options of sbatch that all jobs share; True for one without a value."""
        options = {
            "partition": self.partition,
            "account": self.account,
            "time": self.minutes,
            "mem": None if self.memory_gb is None else f"{round(1024 * self.memory_gb)}M",
            "gpus-per-node": self.gpus or None,
            "cpus-per-task": threads,
            "kill-on-invalid-dep": "yes",
            "requeue": True,
            "signal": f"TERM@{NOTICE_S}",
        }
        more = (each.removeprefix("--").partition("=") for each in self.sbatch)
        options |= {option: value if equals else True for option, equals, value in more}
        return {name: value for name, value in options.items() if value is not None}

    def check_options(self) -> bool:
        """Refuse options that `sbatch --help` does not list; return whether it could be asked."""
        if shutil.which("sbatch") is None:
            return False
        answer = subprocess.run(["sbatch", "--help"], capture_output=True, text=True)
        if answer.returncode != 0:  # an sbatch without a cluster's configuration
            return False
        known = {*re.findall(r"--([a-z][a-z0-9-]*)", answer.stdout)}
        for each in self.sbatch:
            name = each.removeprefix("--").partition("=")[0]
            if name not in known:
                raise UsageError(f"--sbatch {each}: unknown to sbatch; see sbatch --help")
        return True


@dataclass(frozen=True, slots=True)
class Job:
    """A job in a state of Slurm: PENDING, RUNNING, FAILED, TIMEOUT, ..."""

    node: str
    number: int
    state: str

    def __str__(self) -> str:
        return f"{self.number} {self.state}"


def submit_jobs(
    plan: Plan, runs: Path, work: Work, threads: int, resources: Resources
) -> dict[str, Job]:
    """Submit a job for each node that can be done and has none; return all jobs by node.

    A job starts after those of the nodes that it needs; Slurm cancels it if one of them fails.
    """
    try:
        import submitit
        from submitit.core.utils import FailedJobError
    except ImportError as error:
        raise UserError("--slurm needs submitit; run `pip install submitit`") from error
    try:
        with hold_node(runs, SUBMISSION):
            jobs = read_jobs(plan.nodes, runs)
            submitter = submitit.SlurmExecutor(runs / FOLDER / "slurm")
            submitted = [name for name, job in jobs.items() if job.state not in FINAL_STATES]
            for name, needs in open_nodes(plan, plan_status(plan, runs), submitted).items():
                gpus = resources.gpus if plan.nodes[name].uses_gpu else 0
                options = replace(resources, gpus=gpus).options(threads)
                after = [jobs[need].number for need in needs]
                submitter.update_parameters(**_parameters(name, runs, options, after))
                number = int(submitter.submit(_run_job, work, name).job_id)
                jobs[name] = Job(name, number, "PENDING")
    except FailedJobError as error:
        raise UserError(f"{name} was not submitted; {' '.join(str(error).split())}") from error
    except Busy as error:
        raise UserError(f"another process submits jobs of {runs}; wait for it") from error
    return jobs


def _parameters(name: str, runs: Path, options: dict[str, Any], after: list[int]) -> dict[str, Any]:
    """Return a job's parameters for submitit; those that it lacks are options of sbatch."""
    log, failed = log_path(runs, name), failure_path(runs, name)
    quoted = {"failed": shlex.quote(str(failed)), "log": shlex.quote(str(log))}
    return {
        "job_name": job_name(name, runs),
        "dependency": ":".join(["afterok", *map(str, after)]) if after else None,
        # some versions of srun do not inherit the number of CPUs
        "srun_args": [f"--cpus-per-task={options['cpus-per-task']}", f"--output={log}"],
        **{option.replace("-", "_"): options.pop(option, None) for option in SUBMITIT},
        "stderr_to_stdout": True,
        "teardown": [AFTER_WORK.format(busy=Busy.exit_code, **quoted)],
        "additional_parameters": {"output": log, **options},
    }


def _run_job(work: Work, name: str) -> None:
    """Do a node within its job."""
    if code := work(name):
        sys.exit(code)


def read_jobs(names: Collection[str], runs: Path) -> dict[str, Job]:
    """Return the newest job of each node that Slurm still knows.

    Slurm forgets a job some minutes after its end.
    """
    if shutil.which("squeue") is None:
        raise UserError("--slurm: there is no squeue here; run this where jobs are submitted")
    command = ["squeue", "--me", "--noheader", "--states=all", "--format=%i %T %j"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise UserError(f"--slurm: squeue failed: {' '.join(answer.stderr.split())}")
    nodes = {job_name(name, runs): name for name in names}
    fields = [line.split(maxsplit=2) for line in answer.stdout.splitlines()]
    named = [each for each in fields if len(each) == 3]  # a job's name may be blank
    jobs = [Job(nodes[name], int(number), state) for number, state, name in named if name in nodes]
    return {job.node: job for job in sorted(jobs, key=lambda job: job.number)}


def job_name(name: str, runs: Path) -> str:
    """Return a job name that no other sweep has."""
    return f"{name}@{hashlib.sha256(bytes(runs.resolve())).hexdigest()[:8]}"
