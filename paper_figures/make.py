"""Making what a figure needs: the part of its papers' plans that it is drawn from, then kept."""

from pathlib import Path
from typing import Any

from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_json
from paper_figures.figure import Figure
from paper_figures.keep import keep_finished
from transformer.cli import sweep
from transformer.experiments.plans import PLANS, load_plan

KEPT = "kept"  # the folder of what is kept, in that of all runs


def sweep_of(figure: Figure, runs: Path, **flags: Any) -> sweep.Flags:
    """The sweep that makes what a figure needs.

    One of no runs, or of runs that no plan has, raises `UsageError`.
    """
    where = f"figure {figure.paper} {figure.slot}"
    own = sorted({need.preset.partition("/")[0] for need in figure.needs})
    if not own:
        raise UsageError(f"{where} is of no trained run; draw it without make")
    if len(own) > 1 or own[0] not in PLANS:
        raise UsageError(f"{where} is of runs of {', '.join(own)}, which no one plan makes")
    if figure.of_several_scales:
        raise UsageError(f"{where} is of runs of two scales; make them by sweeps, and keep them")
    patterns = dict.fromkeys(need.node for need in figure.needs)
    return sweep.Flags(plan=own[0], runs=runs, only=tuple(patterns), **flags)


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
