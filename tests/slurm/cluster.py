"""A Slurm of one node with two processors, on this machine and for as long as it is needed.

    python tests/slurm/cluster.py FOLDER

starts it with everything it writes in FOLDER, prints how to use it, and stops it at Ctrl-C.  It
needs root and the programs of Debian's `slurm-wlm`; nothing of the machine's own Slurm is used.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
# No cgroups and no accounting, so that it runs in a container; `cred_expire` is how long a job that
# is requeued waits before it may start again (5 s is the least, 120 s what it is otherwise).
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
JobRequeue=1
KillWait=20
ReturnToService=2
MailProg=/bin/true
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2
"""


def missing() -> str:
    """Why no cluster can be started here; empty where one can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    if absent:
        return f"no {', '.join(absent)}; apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "Slurm's daemons need root"


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A running cluster; what it gives are the environment variables that its users need."""
    folder.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname().split(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder, host=host, controller_port=_free_port(), node_port=_free_port()
        )
    )
    variables = {"SLURM_CONF": str(configuration), "PATH": _path()}
    key = folder / "munge.key"
    munge = [f"--{name}={folder / f'munge.{name}'}" for name in ("socket", "pid-file", "seed-file")]

    with ExitStack() as started:

        def start(name: str, *options: object) -> None:
            started.enter_context(_daemon([name, *map(str, options)], folder, variables))

        def answers(*command: str) -> str:
            environment = os.environ | variables
            return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

        answers("mungekey", "--create", f"--keyfile={key}")
        start("munged", "--foreground", "--force", f"--key-file={key}", *munge)
        _wait(lambda: (folder / "munge.socket").exists(), "munged", folder)
        start("slurmctld", "-D", "-i", "-f", configuration, "-L", folder / "slurmctld.log")
        _wait(lambda: "is UP" in answers("scontrol", "ping"), "slurmctld", folder)
        start("slurmd", "-D", "-f", configuration, "-N", host, "-L", folder / "slurmd.log")
        _wait(lambda: "idle" in answers("sinfo", "-h", "-o", "%T"), "slurmd", folder)
        try:
            yield variables
        finally:
            answers("scancel", "--user=root", "--signal=KILL", "--full")
            answers("scancel", "--user=root")
            _wait(lambda: not answers("squeue", "-h"), "slurmctld", folder)


@contextmanager
def _daemon(command: list[str], folder: Path, variables: dict[str, str]) -> Iterator[None]:
    program = shutil.which(command[0], path=_path())
    assert program is not None
    with (folder / f"{command[0]}.out").open("w") as output:
        process = subprocess.Popen(
            [program, *command[1:]],
            env=os.environ | variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C must reach this program first
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(condition: Callable[[], bool], daemon: str, folder: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            said = "".join(file.read_text()[-2000:] for file in sorted(folder.glob(f"{daemon}.*t")))
            raise TimeoutError(f"{daemon} is not ready after {seconds} s:\n{said}")
        time.sleep(0.1)


def _path() -> str:
    """The search path with the folders in which Debian keeps daemons."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/slurm/cluster.py FOLDER")
    if missing():
        sys.exit(missing())
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: None)
    with cluster(Path(sys.argv[1]).resolve()) as running:
        print(f"export SLURM_CONF={running['SLURM_CONF']}   # Ctrl-C stops the cluster", flush=True)
        signal.pause()
