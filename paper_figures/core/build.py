"""Making what a figure needs: the part of its papers' plans that it is drawn from, then kept."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_json
from paper_figures.core.figure import Figure
from paper_figures.core.kept_data import keep_finished
from paper_figures.core.runs import SCALE
from transformer.cli import sweep
from transformer.config.run import Scale
from transformer.experiments.plans import PLANS, load_plan
from transformer.sweeps.plan import Plan
from transformer.sweeps.train import Train

KEPT = "kept"  # the folder of what is kept, in that of all runs


def sweep_of(
    figure: Figure,
    runs: Path,
    *,
    scale: Scale = SCALE,
    only: tuple[str, ...] = sweep.ALL,
    seeds: tuple[int, ...] = (),
    **flags: Any,
) -> sweep.Flags:
    """The sweep that makes what a figure needs, or those of its nodes that are asked for.

    A figure of no runs, or of runs that no plan has, raises `UsageError`; so do names and initial
    seeds of which it needs nothing.
    """
    where = f"figure {figure.paper} {figure.slot}"
    own = sorted({need.preset.partition("/")[0] for need in figure.needs})
    if not own:
        raise UsageError(f"{where} is of no trained run; draw it without make")
    if len(own) > 1 or own[0] not in PLANS:
        raise UsageError(f"{where} is of runs of {', '.join(own)}, which no one plan makes")
    if figure.of_several_scales:
        raise UsageError(f"{where} is of runs of two scales; make them by sweeps, and keep them")
    nodes = tuple(dict.fromkeys(need.node for need in figure.needs))
    if only != sweep.ALL or seeds:
        plan = load_plan(own[0], scale)
        there = plan.matching(nodes)
        nodes = tuple(
            name
            for name in there
            if any(fnmatchcase(name, pattern) for pattern in only)
            and (not seeds or init_seeds(plan, name) & {*seeds})
        )
        if not nodes:
            raise UsageError(
                f"--only and --seeds leave nothing that {where} needs; choose of {', '.join(there)}"
            )
    return sweep.Flags(plan=own[0], runs=runs, scale=scale, only=nodes, **flags)


def init_seeds(plan: Plan, name: str) -> set[int]:
    """The initial seeds of a node's runs, or of the runs that it measures."""
    node = plan.nodes[name]
    if isinstance(node, Train):
        return {config.init_seed for config in node.configs.values()}
    return set[int]().union(*(init_seeds(plan, need) for need in node.needs))


def make(figure: Figure, flags: sweep.Flags) -> tuple[Path, list[str]] | None:
    """Work off the sweep and keep what is finished: where, and sentences on what is left out.

    None of a dry run.
    """
    sweep.run(flags)
    if flags.dry_run:
        return None
    data = flags.runs / KEPT
    (data / figure.paper).mkdir(parents=True, exist_ok=True)
    if not (data / "index.json").exists():
        write_json(data / "index.json", [])
    plan = load_plan(flags.plan, flags.scale).select(flags.only)
    _, left_out = keep_finished(plan, flags.runs, figure.paper, flags.scale, data)
    return data, left_out
