"""The work of a node in this process, and the nodes of a plan that are left to do."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from coopetition.tools.errors import Interrupted, UserError, abbreviate
from coopetition.tools.files import remove_stale_temporaries
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.status import (
    SETTLED,
    NodeStatus,
    clear_failure,
    hold_node,
    write_failure,
)

Work = Callable[[str], int]
"""Do the node of a name in this process and return the exit code. It must be picklable."""


def open_nodes(
    plan: Plan, statuses: Mapping[str, NodeStatus], submitted: Collection[str] = ()
) -> dict[str, list[str]]:
    """Return the nodes that can still be done, in order, each with those that it waits for.

    `submitted` nodes are queued or running already. They, failed nodes, and those that need a
    failed one are left out.
    """
    coming, found = {*submitted}, {}
    for name, node in plan.nodes.items():
        waits_for = [need for need in node.needs if statuses[need].state != "done"]
        is_open = name not in coming and statuses[name].state not in SETTLED
        if is_open and coming >= {*waits_for}:
            found[name] = waits_for
            coming.add(name)
    return found


def run_node(plan: Plan, name: str, runs: Path, device: str = "auto", threads: int = 1) -> None:
    """Do a node, or continue it, in this process; a finished node is left alone.

    The reason of a failure is recorded on disk. Raises `Busy` if another process works on the
    node, and `UserError` if a node that it needs is not done.
    """
    node = plan.nodes[name]
    with hold_node(runs, name):
        remove_stale_temporaries(runs / name)
        with _failure_recorded(node, runs):
            is_done = node.is_done(runs)
        clear_failure(runs, name)
        if is_done:
            return
        if undone := [need for need in node.needs if not plan.nodes[need].is_done(runs)]:
            raise UserError(f"{name} needs {abbreviate(undone)}, not done yet; do that first")
        with _failure_recorded(node, runs):
            node.execute(runs, device if node.uses_gpu else "cpu", threads)


@contextmanager
def _failure_recorded(node: Node, runs: Path) -> Iterator[None]:
    """Record the reason if work on a node fails; an interruption is not a failure."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        is_expected = isinstance(error, UserError | OSError)
        reason = str(error) if is_expected else f"{type(error).__name__}: {error}"
        write_failure(runs, node.name, "" if _is_shown_by_files(node, runs) else reason)
        raise


def _is_shown_by_files(node: Node, runs: Path) -> bool:
    """Return whether a node's own files show that it failed: when they are moved, it can start."""
    try:
        node.is_done(runs)
    except (UserError, OSError):
        return True
    return False
