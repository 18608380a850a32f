"""What a plan will take, from runs that are trained and from steps that are timed.

A plan and how it stands, as rows.
"""

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
from transformer.sweeps.plan import Node, Plan
from transformer.sweeps.slurm import Job
from transformer.sweeps.status import Standing
from transformer.sweeps.train import Train
from transformer.training.cost import MAX_S, forecast
from transformer.training.machine import Machine


class Estimate:
    """Seconds of training by step, of each kind of run: measured in a folder, or timed here."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._timed: dict[str, float] = {}

    def time_here(self, plan: Plan, device: str, threads: int) -> None:
        """Time some steps of each kind of run that was not trained yet in the folder.

        Plain ones, since compiling takes half a minute and more a kind; how much faster compiled
        ones are is measured for the first kind that is long enough, and taken for all.
        """
        known, gain = self._measured(plan), None
        for node in _training(plan):
            kind = kind_of(node)
            if kind in known or kind in self._timed:
                continue
            chosen = Machine.choose(device, threads, n_steps=n_steps(node))
            plain = _seconds_by_step(node, replace(chosen, execution="eager"))
            compiles = chosen.execution != "eager"
            if compiles and gain is None:
                gain = _seconds_by_step(node, chosen) / plain
            self._timed[kind] = plain * (gain if compiles and gain is not None else 1)

    def seconds(self, plan: Plan, standings: Mapping[str, Standing]) -> dict[str, float | None]:
        """Seconds that are left of each node.

        None where nothing like it was trained or timed, as of encoders, features and measures.
        """
        known = self._timed | self._measured(plan)
        left: dict[str, float | None] = {}
        for name, node in plan.nodes.items():
            if standings[name].state == "done":
                left[name] = 0.0
                continue
            if not isinstance(node, Train):
                left[name] = None
                continue
            each = known.get(kind_of(node))
            share = 1 - node.share_done(self.runs)
            shared = n_steps(plan.nodes[node.longer_than]) if node.longer_than else 0
            left[name] = None if each is None else each * (n_steps(node) - shared) * share
        return left

    def seconds_left(
        self, plan: Plan, standings: Mapping[str, Standing], jobs: int
    ) -> float | None:
        """Seconds until all that can be done is, by so many processes at once.

        Kinds of runs of which nothing is known are taken for the mean of the others by step; what
        does not train counts as nothing.
        """
        known = self._timed | self._measured(plan)
        if not known:
            return None
        mean = statistics.mean(known.values())
        open_ = {
            name: node
            for name, node in plan.nodes.items()
            if standings[name].state not in ("done", "failed", "blocked")
        }
        each = self.seconds(plan, standings)
        lengths: dict[str, float] = {}
        for name, node in open_.items():
            own = each[name]
            lengths[name] = mean * n_steps(node) if own is None else own
        return makespan({name: open_[name].needs for name in open_}, lengths, jobs)

    def _measured(self, plan: Plan) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for node in _training(plan):
            rows = read_metrics(self.runs / node.name / next(iter(node.configs)) / "metrics.jsonl")
            if len(rows) > 1 and rows[-1].get("seconds"):
                found.setdefault(kind_of(node), []).append(rows[-1]["seconds"] / rows[-1]["step"])
        return {kind: statistics.median(each) for kind, each in found.items()}


def _seconds_by_step(node: Train, machine: Machine) -> float:
    """Predicted seconds of a node's training, evaluations among them, by step."""
    unstarted = [replace(each, start=StartConfig()) for each in node.configs.values()]
    return forecast(unstarted, machine)["predicted_s"] / n_steps(node)


def _training(plan: Plan) -> list[Train]:
    return [node for node in plan.nodes.values() if isinstance(node, Train)]


def n_steps(node: Node) -> int:
    """Steps of a node; 0 of one that does not train."""
    if not isinstance(node, Train):
        return 0
    return max(config.n_steps for config in node.configs.values())


def kind_of(node: Train) -> str:
    """What runs whose steps take as long have in common."""
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


def makespan(
    graph: Mapping[str, tuple[str, ...]], lengths: Mapping[str, float], jobs: int
) -> float:
    """Time until all is done if free processes take the first of what can be started."""
    ends: dict[str, float] = {}
    free = [0.0] * jobs
    left = list(graph)
    while left:
        ready = {
            name: max((ends[need] for need in graph[name] if need in graph), default=0.0)
            for name in left
            if all(need in ends or need not in graph for need in graph[name])
        }
        free.sort()
        name = min(ready, key=lambda each: max(ready[each], free[0]))
        free[0] = ends[name] = max(ready[name], free[0]) + lengths[name]
        left.remove(name)
    return max(ends.values(), default=0.0)


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds, 1:02:03."""
    if seconds is None:
        return "unknown"
    return str(timedelta(seconds=round(min(seconds, MAX_S))))


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
