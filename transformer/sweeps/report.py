"""Rows that describe a plan and its status, and the progress of a sweep."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError, UserError, abbreviate
from transformer.runs.layout import METRICS
from transformer.runs.metrics import whole_lines
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.slurm import Job
from transformer.sweeps.status import SETTLED, NodeStatus, plan_status
from transformer.sweeps.train import Train

Statuses = Mapping[str, NodeStatus]
Row = dict[str, Any]


def progress_line(plan: Plan, runs: Path, jobs: int, done: Collection[str] = ()) -> str:
    """Return how many nodes are done, the time left, and the nodes that are running.

    done : as for `plan_status`
    """
    statuses = plan_status(plan, runs, done)
    states = [status.state for status in statuses.values()]
    running = [f"{n} {each.message}" for n, each in statuses.items() if each.state == "running"]
    n_failed = states.count("failed")
    return (
        f"{states.count('done')}/{len(states)} nodes"
        + (f", {n_failed} failed" if n_failed else "")
        + f", ETA {time_left(plan, statuses, runs, jobs)}  {', '.join(running)}"
    )


def time_left(plan: Plan, statuses: Statuses, runs: Path, jobs: int) -> str:
    """Return the time of the training steps that remain, by `jobs` processes, such as 1:02:03.

    A step takes the mean time of those in the folder; "unknown" if there are none yet.
    """
    seconds = steps = steps_left = 0.0
    for name, node in plan.nodes.items():
        if not isinstance(node, Train):
            continue
        lines = whole_lines(runs / name / next(iter(node.configs)) / METRICS)
        if lines and lines[-1][0].get("seconds"):
            seconds += lines[-1][0]["seconds"]
            steps += lines[-1][0]["step"]
        if statuses[name].state not in SETTLED:
            steps_left += node.n_steps * (1 - node.fraction_done(runs))
    if not steps:
        return "unknown"
    return str(timedelta(seconds=round(steps_left * seconds / steps / jobs)))


def longer_runs(plan: Plan, runs: Path) -> list[str]:
    """Return the nodes whose recorded runs have more steps than in the plan, with both numbers."""
    longer = []
    for name, node in plan.nodes.items():
        try:
            recorded = node.recorded_steps(runs) if isinstance(node, Train) else 0
        except UserError:  # a damaged folder, which the node's status reports
            continue
        if recorded > node.n_steps:
            longer.append(f"{name} ({recorded}, not {node.n_steps})")
    return longer


def plan_rows(plan: Plan, statuses: Statuses) -> list[Row]:
    """Return what each node needs and takes, and its status; None where that is unknown."""
    return [
        {
            "node": name,
            "needs": list(node.needs),
            "steps": node.n_steps or None,
            "disk_bytes": node.disk_bytes() or None,
            "state": statuses[name].state,
            "message": _obstacle(node, statuses[name]),
            "description": "; ".join(filter(None, (node.description, ", ".join(node.aliases))))
            or None,
        }
        for name, node in plan.nodes.items()
    ]


def _obstacle(node: Node, status: NodeStatus) -> str | None:
    """Return why a node failed, or why it cannot run here."""
    if status.state in ("failed", "blocked"):
        return status.message
    try:
        if status.state != "done":
            node.check_installed()
    except UsageError as error:
        return str(error)
    return None


def readable_row(row: Row) -> Row:
    """Return a row of `plan_rows` for people, without the message."""
    texts = {key: each for key, each in row.items() if key not in ("disk_bytes", "message")}
    disk = mebibytes(row["disk_bytes"] or 0)
    return texts | {"needs": abbreviate(row["needs"]) or None, "disk": disk}


def status_rows(statuses: Statuses, jobs: Mapping[str, Job]) -> list[Row]:
    """Return the status of each node, with its message and, if there are jobs, its job."""
    rows: list[Row] = []
    for name, status in statuses.items():
        job = {"job": str(jobs[name]) if name in jobs else None} if jobs else {}
        message = {"message": status.message or None}
        rows.append({"node": name, "state": status.state} | job | message)
    return rows


def mebibytes(n_bytes: float) -> str | None:
    """Return a size in mebibytes; None for less than half of one."""
    return f"{n_bytes / 2**20:,.0f} MiB" if n_bytes >= 2**19 else None
