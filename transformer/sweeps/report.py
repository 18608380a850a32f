"""A plan and how it stands, as rows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from coopetition.tools.errors import UsageError, abbreviate
from transformer.sweeps.estimate import Estimate, clock, n_steps
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.slurm import Job
from transformer.sweeps.standing import Standing

Row = dict[str, Any]


def graph_rows(
    plan: Plan,
    standings: Mapping[str, Standing],
    estimate: Estimate,
    jobs: Mapping[str, tuple[str, list[str]]] | None = None,
) -> list[Row]:
    """What each node needs, how it stands, and what it takes; None where that is not estimated.

    With `jobs`, those of `slurm.planned_jobs`, also the job of each node and those it waits for.
    """
    left = estimate.seconds(plan, standings)
    return [
        {
            "node": name,
            "needs": list(node.needs),
            "steps": n_steps(node) or None,
            "disk_bytes": node.disk_bytes() or None,
            "state": standings[name].state,
            "seconds_left": left[name],
            "message": _obstacle(node, standings[name]),
            "what": "; ".join(filter(None, (node.what, ", ".join(node.also)))) or None,
        }
        | (
            {}
            if jobs is None
            else dict(zip(("job", "after"), jobs.get(name, (None, [])), strict=True))
        )
        for name, node in plan.nodes.items()
    ]


def _obstacle(node: Node, now: Standing) -> str | None:
    """Why a node failed, or could not be worked on here."""
    if now.state in ("failed", "blocked"):
        return now.message
    try:
        if now.state != "done":
            node.check_installed()
    except UsageError as error:
        return str(error)
    return None


def in_words(row: Row) -> Row:
    """A row of `graph_rows` for people."""
    left = row["seconds_left"]
    return {
        "node": row["node"],
        "needs": abbreviate(row["needs"]) or None,
        "steps": row["steps"],
        "disk": size(row["disk_bytes"] or 0),
        "state": row["state"],
        "left": None if left is None else clock(left),
        **({"job": row["job"], "after": abbreviate(row["after"]) or None} if "job" in row else {}),
        "what": row["what"],
    }


def status_rows(
    plan: Plan, standings: Mapping[str, Standing], jobs: Mapping[str, Job] = MappingProxyType({})
) -> list[Row]:
    """How each node stands, and why; its job, where there are any."""
    rows: list[Row] = []
    for name, each in standings.items():
        job = {"job": str(jobs[name]) if name in jobs else None} if jobs else {}
        rows.append({"node": name, "state": each.state} | job | {"message": each.message or None})
    return rows


def size(n_bytes: float) -> str | None:
    """Mebibytes, of what takes some."""
    return f"{n_bytes / 2**20:,.0f} MiB" if n_bytes >= 2**19 else None
