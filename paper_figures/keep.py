"""Keeping the curves of a sweep's finished runs where figures find them (`sources`)."""

import json
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_json
from paper_figures.sources import DATA, index
from transformer.config.scale import Scale
from transformer.experiments.preset import PRESETS
from transformer.runs.export import export
from transformer.runs.folder import RunFolder, load_run
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

SPACING = 0.02  # between kept lines, of the sequences seen: some 150 lines a run


def keep_finished(plan: Plan, runs: Path, paper: str, scale: Scale, data: Path = DATA) -> list[str]:
    """Keep every finished single run of a sweep of `plan` in `runs`; the names of those kept now.

    Of the same run in two lengths the longer is kept, for the presets of both.  A folder that
    holds no finished run of the plan raises `UsageError`.
    """
    nodes = [node for node in plan.nodes.values() if isinstance(node, Train)]
    finished = {
        node.name: load_run(runs / node.name)
        for node in nodes
        if "" in node.configs and node.is_done(runs)
    }
    if not finished:
        raise UsageError(f"{runs} holds no finished run of the plan {paper} at scale {scale}")
    kept = {entry["run_id"]: entry["step"] for entry in index(data)}
    new = []
    for run_id in dict.fromkeys(run.config.run_id() for run in finished.values()):
        same = {name: run for name, run in finished.items() if run.config.run_id() == run_id}
        name = max(same, key=lambda each: same[each].config.n_steps)
        if kept.get(run_id, 0) < same[name].config.n_steps:
            seed = same[name].config.init_seed
            names = [each for node in same for each in (node, *plan.nodes[node].also)]
            presets = dict.fromkeys(_preset(paper, each, seed) for each in names)
            about = {"paper": paper, "preset": next(iter(presets)), "scale": scale}
            _keep(same[name], about | {"also": [*presets][1:]}, data)
            new.append(name)
    return new


def _preset(paper: str, name: str, init_seed: int) -> str:
    """The preset that a node is of; one of several seeds has its own in the node's name."""
    own = f"{paper}/{name}"
    return own if own in PRESETS else own.removesuffix(f"_{init_seed}")


def _keep(run: RunFolder, about: dict[str, Any], data: Path) -> None:
    path = data / about["paper"] / f"{run.config.run_id()}.csv"
    export(run, path, SPACING)
    record = path.with_suffix(".json")
    entry = about | json.loads(record.read_text())
    others = [each for each in index(data) if each["run_id"] != entry["run_id"]]
    write_json(data / "index.json", [*others, entry])
    record.unlink()
