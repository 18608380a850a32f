"""The nodes of a plan as jobs of a Slurm cluster: one job a node, after the jobs that it needs.

Which jobs there are stands in Slurm's queue, by name, and how far a node is on disk: there is no
third record.  A job that is told to stop, because its time is nearly over or another goes before
it, writes a checkpoint, ends with 143, and is put back into the queue.
"""

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError, abbreviate
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.status import FOLDER, Busy, Standing, failed_path, held, log_path, standings

Entry = Callable[[str], int]  # does the node of a name; its exit code

NOTICE_S = 90  # before the end of its time, at which a job is told; Slurm may do so 60 s early
LEAST_MINUTES = 5  # so that something is done before the notice
# long options of sbatch, but for those that a job here has already
SBATCH_OPTIONS = """
acctg-freq batch bb bbf begin chdir cluster-constraint clusters comment constraint contiguous
core-spec cores-per-socket cpu-freq cpus-per-gpu deadline delay-boot distribution error
exclude exclusive export export-file extra extra-node-info get-user-env gpu-bind gpu-freq
gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint hold licenses
mail-type mail-user mcs-label mem-bind mem-per-cpu mem-per-gpu mincpus network nice
no-kill nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node
ntasks-per-socket open-mode oom-kill-step overcommit oversubscribe power prefer priority
profile propagate qos quiet reboot resv-ports reservation segment sockets-per-node
spread-job stepmgr switches thread-spec threads-per-core time-min tmp tres-bind
tres-per-task uid use-min-nodes verbose wait-all-nodes wckey x11"""
SUBMISSION = ".submission"  # held while jobs are submitted; no node can have this name
ENDED = {  # states of jobs that will do nothing any more
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
}
ENDED_NODES = ("done", "failed", "blocked")  # states of nodes that get no job
KNOWN = ("partition", "account", "time", "mem", "gpus-per-node", "cpus-per-task")  # to submitit
# The last lines of a job's script.  Where Slurm ends a job (`scancel`, `scontrol requeue`) it ends
# the shell as well: after a `scancel` nobody asks for the job to be put back.
AFTER_WORK = """\
code=$?
if [ $code = 143 ] || [ $code = {busy} ]; then scontrol requeue "$SLURM_JOB_ID"
elif [ $code != 0 ] && [ ! -e {failed} ]; then echo "its job ended with $code; see "{log} > {failed}
fi
exit $code"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What each job asks Slurm for, beside as many CPUs as it has threads."""

    partition: str | None = None
    """Of the jobs of --slurm; without, what the cluster gives."""
    account: str | None = None
    """Of the jobs of --slurm; without, what the cluster gives."""
    minutes: int = 240
    """Time limit of each job of --slurm; what needs longer goes on in the queue's next turn."""
    memory_gb: float | None = None
    """Of each job of --slurm; without, what the cluster gives."""
    gpus: int = 0
    """Of each job of --slurm that trains runs or embeds drawings; others get none."""
    sbatch: tuple[str, ...] = ()
    """More of sbatch's options for the jobs of --slurm: qos=long exclusive."""

    def __post_init__(self) -> None:
        if self.gpus < 0:
            raise UsageError(f"gpus={self.gpus}; choose 0 (no GPU) or more")
        if self.memory_gb is not None and not self.memory_gb > 0:
            raise UsageError(f"memory_gb={self.memory_gb:g}; choose more than 0")
        for given in self.sbatch:
            name = given.removeprefix("--").partition("=")[0]
            known = SBATCH_OPTIONS.split()
            if name not in known and not _sbatch_lists(name):
                alike = get_close_matches(name, known, 3)
                hint = f"did you mean {abbreviate(alike)}?" if alike else "see `man sbatch`"
                raise UsageError(f"sbatch has no option {name!r} that --sbatch takes; {hint}")
        if self.minutes < LEAST_MINUTES:
            raise UsageError(
                f"minutes={self.minutes}; choose {LEAST_MINUTES} or more: a job is told up to "
                f"{NOTICE_S + 60} s before its end"
            )


def _sbatch_lists(option: str) -> bool:
    """Whether the help of sbatch, where it is installed, has an option, as those of plugins."""
    if shutil.which("sbatch") is None:
        return False
    answer = subprocess.run(["sbatch", "--help"], capture_output=True, text=True)
    return re.search(rf"--{re.escape(option)}(?![\w-])", answer.stdout) is not None


@dataclass(frozen=True, slots=True)
class Job:
    """A job in a state of Slurm's: PENDING, RUNNING, FAILED, TIMEOUT, ..."""

    node: str
    number: int
    state: str

    def __str__(self) -> str:
        return f"{self.number} {self.state}"


def submit(
    plan: Plan, runs: Path, entry: Entry, threads: int, resources: Resources
) -> dict[str, Job]:
    """Submit a job for each node that is to be done and has none; the jobs of all nodes, by name.

    Nodes that failed, and what needs them, are left out.

    Parameters
    ----------
    entry : does a node in the process that it is called in.  It is pickled
    """
    submitit = _submitit()
    try:
        with held(runs, SUBMISSION):
            jobs = jobs_of(plan.nodes, runs)
            live = {name: job for name, job in jobs.items() if job.state not in ENDED}
            executor = submitit.SlurmExecutor(runs / FOLDER / "slurm")
            for name, standing in standings(plan, runs).items():
                if name in live or standing.state in ENDED_NODES:
                    continue
                after = [live[need].number for need in plan.nodes[name].needs if need in live]
                node = plan.nodes[name]
                executor.update_parameters(**_parameters(node, runs, after, threads, resources))
                live[name] = Job(name, _number(executor, entry, name), "PENDING")
            return jobs | live
    except Busy as error:
        raise UserError(f"another process submits jobs of {runs}; wait for it") from error


def _parameters(
    node: Node, runs: Path, after: list[int], threads: int, resources: Resources
) -> dict[str, Any]:
    """A job's parameters as submitit names them, those that it does not know as sbatch does."""
    name, log = node.name, log_path(runs, node.name)
    gpus = resources.gpus if node.uses_gpu else 0
    options = sbatch_options(threads, replace(resources, gpus=gpus))
    failed = shlex.quote(str(failed_path(runs, name)))
    end = AFTER_WORK.format(busy=Busy.exit_code, failed=failed, log=shlex.quote(str(log)))
    return {
        "job_name": _job_name(name, runs),
        "dependency": ":".join(["afterok", *map(str, after)]) if after else None,
        **{name.replace("-", "_"): options.pop(name, None) for name in KNOWN},
        # some versions of srun do not take over how many CPUs the job has
        "srun_args": [f"--cpus-per-task={threads}", f"--output={log}"],
        "stderr_to_stdout": True,
        "teardown": [end],
        "additional_parameters": {
            "output": log,
            **options,
        },
    }


def sbatch_options(threads: int, resources: Resources) -> dict[str, Any]:
    """The options of sbatch that all jobs share; True where one takes no value."""
    gigabytes = resources.memory_gb
    own = {
        "partition": resources.partition,
        "account": resources.account,
        "time": resources.minutes,
        "mem": None if gigabytes is None else f"{round(1024 * gigabytes)}M",
        "gpus-per-node": resources.gpus or None,
        "cpus-per-task": threads,
        "kill-on-invalid-dep": "yes",
        "requeue": True,
        "signal": f"TERM@{NOTICE_S}",
    }
    more = (each.removeprefix("--").partition("=") for each in resources.sbatch)
    own |= {option: value if given else True for option, given, value in more}
    return {name: value for name, value in own.items() if value is not None}


def planned_jobs(
    plan: Plan, runs: Path, now: Mapping[str, Standing]
) -> dict[str, tuple[str, list[str]]]:
    """The job that `submit` makes of each node that has none: its name, and the jobs it waits for.

    Jobs that are in Slurm's queue already are not looked for.
    """
    left = [name for name, each in now.items() if each.state not in ENDED_NODES]
    names = {name: _job_name(name, runs) for name in left}
    return {
        name: (job, [names[need] for need in plan.nodes[name].needs if need in names])
        for name, job in names.items()
    }


def _number(executor: Any, entry: Entry, name: str) -> int:
    """Submit a job; its number."""
    from submitit.core.utils import FailedJobError

    try:
        return int(executor.submit(_work, entry, name).job_id)
    except FailedJobError as error:
        raise UserError(f"{name} was not submitted; {' '.join(str(error).split())}") from error


def _work(entry: Entry, name: str) -> None:
    """What a job does."""
    if code := entry(name):
        sys.exit(code)


def jobs_of(names: Collection[str], runs: Path) -> dict[str, Job]:
    """The newest job of each node, of those that Slurm still knows.

    It forgets a job some minutes after its end.
    """
    if shutil.which("squeue") is None:
        raise UserError("--slurm: there is no squeue here; call it where jobs are submitted")
    command = ["squeue", "--me", "--noheader", "--states=all", "--format=%i %T %j"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise UserError(f"--slurm: squeue does not answer: {' '.join(answer.stderr.split())}")
    nodes = {_job_name(name, runs): name for name in names}
    listed = [line.split(maxsplit=2) for line in answer.stdout.splitlines()]
    named = [each for each in listed if len(each) == 3]  # a job's name may be blank
    ours = [Job(nodes[job], int(number), state) for number, state, job in named if job in nodes]
    return {job.node: job for job in sorted(ours, key=lambda job: job.number)}


def _job_name(name: str, runs: Path) -> str:
    """A name that no job of another sweep has."""
    return f"{name}@{hashlib.sha256(bytes(runs.resolve())).hexdigest()[:8]}"


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError("--slurm needs submitit; pip install 'coopetition[slurm]'") from error
    return submitit
