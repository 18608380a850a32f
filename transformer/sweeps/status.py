"""The status of every node, read from disk alone, whatever process or machine works on it.

RUNS/.sweep/NODE.lock     held while a process works on the node (`flock`)
RUNS/.sweep/NODE.log      output of its processes
RUNS/.sweep/NODE.failed   why the last process failed; empty if the node's own files show it
"""

import contextlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coopetition.tools import locks
from coopetition.tools.errors import UserError, abbreviate
from coopetition.tools.files import write_text
from transformer.sweeps.plan import Node, Plan

State = Literal["done", "running", "failed", "blocked", "stopped", "ready", "waiting"]
SETTLED: tuple[State, ...] = ("done", "failed", "blocked")  # nothing is left to start
FOLDER = ".sweep"


class Busy(UserError):
    """Another process works on the node."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try later


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The state of a node, with a message.

    `ready` can start; `waiting` needs a node that is not done; `blocked` needs one that failed or
    is blocked itself; `stopped` has begun, and no process works on it.  `can_retry` says whether
    `--retry` runs a failed node again; it cannot while the node's own files are at fault.
    """

    state: State
    message: str = ""
    can_retry: bool = False


def log_path(runs: Path, name: str) -> Path:
    """Return the file of a node's output."""
    return runs / FOLDER / f"{name}.log"


def failure_path(runs: Path, name: str) -> Path:
    """Return the file that says why a node failed; it exists only after a failure."""
    return runs / FOLDER / f"{name}.failed"


def read_failure(runs: Path, name: str) -> str:
    """Return why the last process failed; empty if it did not, or if the node's files show it."""
    try:
        return failure_path(runs, name).read_text().strip()
    except FileNotFoundError:
        return ""


def write_failure(runs: Path, name: str, reason: str) -> None:
    """Record why a node failed, unless the disk is full."""
    with contextlib.suppress(OSError):
        write_text(failure_path(runs, name), reason + "\n")


def clear_failure(runs: Path, name: str) -> None:
    """Allow a failed node to start again."""
    failure_path(runs, name).unlink(missing_ok=True)


@contextmanager
def hold_node(runs: Path, name: str) -> Iterator[None]:
    """Lock a node against other processes; the system frees the lock of a killed process."""
    path = _lock_path(runs, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.hold(path, Busy(f"another process works on {name} in {runs}; try again later")):
        yield


def is_running(runs: Path, name: str) -> bool:
    """Return whether a process works on a node."""
    return locks.is_held(_lock_path(runs, name))


def _lock_path(runs: Path, name: str) -> Path:
    return runs / FOLDER / f"{name}.lock"


def node_status(node: Node, runs: Path) -> NodeStatus:
    """Return the status of a node by itself, whatever the nodes that it needs."""
    if is_running(runs, node.name):
        fraction = node.fraction_done(runs)
        return NodeStatus("running", f"{fraction:.0%}" if fraction else "")
    try:
        if node.is_done(runs):
            return NodeStatus("done")
    except (UserError, OSError) as error:
        return NodeStatus("failed", str(error))
    if reason := read_failure(runs, node.name):
        return NodeStatus("failed", reason, can_retry=True)
    if fraction := node.fraction_done(runs):
        return NodeStatus("stopped", f"at {fraction:.0%}")
    return NodeStatus("ready")


def plan_status(plan: Plan, runs: Path, done: Collection[str] = ()) -> dict[str, NodeStatus]:
    """Return the status of every node of a plan.

    done : nodes that were found to be done, whose files are not verified again
    """
    statuses: dict[str, NodeStatus] = {}
    for name, node in plan.nodes.items():
        status = NodeStatus("done") if name in done else node_status(node, runs)
        if status.state == "ready":
            status = _readiness([(need, statuses[need].state) for need in node.needs])
        statuses[name] = status
    return statuses


def _readiness(needs: list[tuple[str, State]]) -> NodeStatus:
    """Return the status of a node that has not begun, from the states of those that it needs."""
    if failed := [need for need, state in needs if state in ("failed", "blocked")]:
        return NodeStatus("blocked", f"needs {abbreviate(failed)}")
    undone = [need for need, state in needs if state != "done"]
    if not undone:
        return NodeStatus("ready")
    count = f"; {len(needs) - len(undone)} of {len(needs)} done" if len(needs) > 1 else ""
    return NodeStatus("waiting", f"for {abbreviate(undone)}{count}")
