"""Estimates of the time that a plan takes, and rows that describe a plan and its status."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from coopetition.tools.errors import UsageError, abbreviate
from coopetition.tools.run_files import read_metrics
from transformer.config import StartConfig, to_dict
from transformer.runs.layout import METRICS
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.slurm import Job, job_name
from transformer.sweeps.status import SETTLED, NodeStatus
from transformer.sweeps.train import Train
from transformer.training.cost import MAX_S, forecast_cost
from transformer.training.machine import Machine

Statuses = Mapping[str, NodeStatus]
Row = dict[str, Any]


class Estimate:
    """Seconds per training step of each kind of run, from metrics in a folder or timed here."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._timed: dict[str, float] = {}

    def time_here(self, plan: Plan, device: str, threads: int) -> None:
        """Time some steps of each kind of run that the folder has no metrics of.

        Compiling takes half a minute and more a kind. Therefore eager steps are timed, and the gain
        of compiled ones is measured once, for the first kind that is long enough to compile.
        """
        known, gain = self._measured(plan), None
        for node in _trained(plan):
            kind = _step_kind(node)
            if kind in known or kind in self._timed:
                continue
            machine = Machine.choose(device, threads, n_steps=node.n_steps)
            eager = _step_seconds(node, replace(machine, execution="eager"))
            compiles = machine.execution != "eager"
            if compiles and gain is None:
                gain = _step_seconds(node, machine) / eager
            self._timed[kind] = eager * (gain if compiles and gain is not None else 1)

    def seconds(self, plan: Plan, statuses: Statuses) -> dict[str, float | None]:
        """Return the seconds left of each node; None for one without an estimate.

        Only training has an estimate: encoders, features and measures have none.
        """
        known = self._timed | self._measured(plan)
        left: dict[str, float | None] = {}
        for name, node in plan.nodes.items():
            if statuses[name].state == "done":
                left[name] = 0.0
            elif not isinstance(node, Train) or _step_kind(node) not in known:
                left[name] = None
            else:
                first_step = plan.nodes[node.extends].n_steps if node.extends else 0
                n_steps = (node.n_steps - first_step) * (1 - node.fraction_done(self.runs))
                left[name] = known[_step_kind(node)] * n_steps
        return left

    def seconds_left(self, plan: Plan, statuses: Statuses, jobs: int) -> float | None:
        """Return the seconds until all that can be done is, by `jobs` processes; None if unknown.

        Unknown kinds of runs take the mean time per step of the known ones; other nodes take none.
        """
        known = self._timed | self._measured(plan)
        if not known:
            return None
        mean = statistics.mean(known.values())
        left = {
            name: mean * plan.nodes[name].n_steps if seconds is None else seconds
            for name, seconds in self.seconds(plan, statuses).items()
            if statuses[name].state not in SETTLED
        }
        return makespan(plan, left, jobs)

    def _measured(self, plan: Plan) -> dict[str, float]:
        """Return the median seconds per step of the runs in the folder, by kind."""
        seconds: dict[str, list[float]] = {}
        for node in _trained(plan):
            rows = read_metrics(self.runs / node.name / next(iter(node.configs)) / METRICS)
            if len(rows) > 1 and rows[-1].get("seconds"):
                per_step = rows[-1]["seconds"] / rows[-1]["step"]
                seconds.setdefault(_step_kind(node), []).append(per_step)
        return {kind: statistics.median(each) for kind, each in seconds.items()}


def _trained(plan: Plan) -> list[Train]:
    return [node for node in plan.nodes.values() if isinstance(node, Train)]


def _step_seconds(node: Train, machine: Machine) -> float:
    """Return the predicted seconds per step, evaluations included."""
    configs = [replace(each, start=StartConfig()) for each in node.configs.values()]
    return forecast_cost(configs, machine)["predicted_s"] / node.n_steps


def _step_kind(node: Train) -> str:
    """Return what decides how long a step takes."""
    config = next(iter(node.configs.values()))
    same: dict[str, Any] = {
        "runs": len(node.configs),
        "model": to_dict(replace(config.model, initialiser="truncated")),
        "optim": config.optim.algorithm,
        "evaluation": to_dict(config.evaluation),
        "data": (config.data.exemplars.n_classes, config.data.context, config.data.batch_size),
        "precision": config.precision,
        "exemplars": node.exemplars or type(config.data.exemplars).__name__,
    }
    return json.dumps(same, sort_keys=True)


def makespan(plan: Plan, seconds: Mapping[str, float], jobs: int) -> float:
    """Return the time of nodes on `jobs` processes: the longest chain, or an equal share of all."""
    ends: dict[str, float] = {}
    for name, node in plan.nodes.items():
        start = max((ends[need] for need in node.needs), default=0.0)
        ends[name] = start + seconds.get(name, 0.0)
    return max(*ends.values(), sum(seconds.values()) / jobs)


def clock(seconds: float | None) -> str:
    """Return hours, minutes and seconds, such as 1:02:03."""
    if seconds is None:
        return "unknown"
    return str(timedelta(seconds=round(min(seconds, MAX_S))))


def graph_rows(plan: Plan, statuses: Statuses, estimate: Estimate, *, as_jobs: bool) -> list[Row]:
    """Return what each node needs, its status, and what it takes; None where that is unknown.

    With `as_jobs`, also the Slurm job that each open node gets, and the jobs that it waits for.
    """
    left = estimate.seconds(plan, statuses)
    jobs = {
        name: job_name(name, estimate.runs)
        for name, status in statuses.items()
        if as_jobs and status.state not in SETTLED
    }
    rows: list[Row] = []
    for name, node in plan.nodes.items():
        row = {
            "node": name,
            "needs": list(node.needs),
            "steps": node.n_steps or None,
            "disk_bytes": node.disk_bytes() or None,
            "state": statuses[name].state,
            "seconds_left": left[name],
            "message": _obstacle(node, statuses[name]),
            "description": "; ".join(filter(None, (node.description, ", ".join(node.aliases))))
            or None,
        }
        if as_jobs:
            after = [jobs[need] for need in node.needs if need in jobs and name in jobs]
            row |= {"job": jobs.get(name), "after": after}
        rows.append(row)
    return rows


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
    """Return a row of `graph_rows` for people."""
    left, job = row["seconds_left"], {}
    if "job" in row:
        job = {"job": row["job"], "after": abbreviate(row["after"]) or None}
    return {
        "node": row["node"],
        "needs": abbreviate(row["needs"]) or None,
        "steps": row["steps"],
        "disk": mebibytes(row["disk_bytes"] or 0),
        "state": row["state"],
        "left": None if left is None else clock(left),
        **job,
        "description": row["description"],
    }


def status_rows(statuses: Statuses, jobs: Mapping[str, Job] = MappingProxyType({})) -> list[Row]:
    """Return the status of each node, with its message and, if there are jobs, its job."""
    rows: list[Row] = []
    for name, status in statuses.items():
        job = {"job": str(jobs[name]) if name in jobs else None} if jobs else {}
        rows.append(
            {"node": name, "state": status.state} | job | {"message": status.message or None}
        )
    return rows


def mebibytes(n_bytes: float) -> str | None:
    """Return a size in mebibytes; None for less than half of one."""
    return f"{n_bytes / 2**20:,.0f} MiB" if n_bytes >= 2**19 else None
