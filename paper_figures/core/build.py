"""Train what a figure needs: by a sweep of its paper's plan, or one run alone."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError
from paper_figures.core.collect import keep_finished
from paper_figures.core.figure import Figure
from paper_figures.core.kept_data import SCALE, read_json
from paper_figures.core.runs import FigureRun
from transformer.cli import sweep
from transformer.config import RunConfig
from transformer.config.run import Scale
from transformer.experiments.plans import PLANS, load_plan
from transformer.runs.export import export
from transformer.runs.train import train_or_resume
from transformer.sweeps.plan import ALL_NODES, Plan
from transformer.sweeps.train import Train
from transformer.training.machine import Machine


def sweep_flags(
    figure: Figure,
    runs: Path,
    *,
    scale: Scale = SCALE,
    only: tuple[str, ...] = ALL_NODES,
    seeds: tuple[int, ...] = (),
    **flags: Any,
) -> sweep.Flags:
    """Return the flags of the sweep that makes what a figure needs, or a part of it.

    Raises `UsageError` for a figure that no single plan makes, and if `only` and `seeds` leave
    nothing that the figure needs.
    """
    name = f"figure {figure.paper} {figure.slot}"
    plans = sorted({need.preset.partition("/")[0] for need in figure.needs})
    if not plans:
        raise UsageError(f"{name} needs no trained run; draw it without make")
    if len(plans) > 1 or plans[0] not in PLANS:
        raise UsageError(f"{name} needs runs of {', '.join(plans)}, which no single plan makes")
    if figure.of_several_scales:
        raise UsageError(f"{name} needs runs of two scales; make them by sweeps, then keep them")
    nodes = tuple(dict.fromkeys(need.node for need in figure.needs))
    if only != ALL_NODES or seeds:
        plan = load_plan(plans[0], scale)
        matching = plan.matching(nodes)
        nodes = tuple(
            node
            for node in matching
            if any(fnmatchcase(node, pattern) for pattern in only)
            and (not seeds or _init_seeds(plan, node) & {*seeds})
        )
        if not nodes:
            raise UsageError(
                f"--only and --seeds leave nothing that {name} needs; choose from "
                + ", ".join(matching)
            )
    return sweep.Flags(plan=plans[0], runs=runs, scale=scale, only=nodes, **flags)


def _init_seeds(plan: Plan, name: str) -> set[int]:
    """Return the initial seeds of a node's runs, or of the runs that it measures."""
    node = plan.nodes[name]
    if isinstance(node, Train):
        return {config.init_seed for config in node.configs.values()}
    return set[int]().union(*(_init_seeds(plan, need) for need in node.needs))


def make(flags: sweep.Flags) -> tuple[Path, list[str]]:
    """Run the sweep and keep what is finished in `kept` below its folder.

    Returns that folder, and sentences on what was left out.
    """
    sweep.run(flags)
    data = flags.runs / "kept"
    plan = load_plan(flags.plan, flags.scale).select(flags.only)
    return data, keep_finished(plan, flags.runs, flags.plan, flags.scale, data)[1]


def train_run(config: RunConfig, folder: Path, machine: Machine) -> FigureRun:
    """Train a run, or finish it, and write its curves beside its folder."""
    path = folder.with_suffix(".csv")
    export(train_or_resume(config, folder, machine), path)
    return FigureRun(folder.name, path, read_json(path.with_suffix(".json")))
