"""Drawing every figure of which what it needs is kept, and the runs of a preset."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from coopetition.plot.style import PRINT
from coopetition.tools.console import ProgressReport
from paper_figures.figure import figures_of, papers
from paper_figures.result import FigureResult
from paper_figures.settings import draw_settings
from paper_figures.sources import SCALE, FigureRun
from transformer.config.scale import Scale


def stem_of(name: str, scale: Scale, init_seed: int | None = None) -> str:
    """The name of the files of a drawing, which tells what else than the default was asked for."""
    of_scale = "" if scale == SCALE else f"_{scale}"
    return name.replace("/", "_") + of_scale + ("" if init_seed is None else f"_init_{init_seed}")


def draw_preset(preset: str, runs: list[FigureRun]) -> FigureResult:
    """Curves of a preset's runs, in the house's style."""
    with rc_context(PRINT):
        return draw_settings({preset: runs})


def as_trial(result: FigureResult) -> FigureResult:
    """A drawing of runs of a few steps, marked as such, without events, findings and verdicts.

    Those would be read off noise.
    """
    result.drawing.suptitle("smoke run: not a result", fontsize=8, color="firebrick")
    provenance = {name: each for name, each in result.provenance.items() if name != "claims"}
    runs = provenance.get("runs")
    if runs is not None:
        provenance["runs"] = [{n: v for n, v in run.items() if n != "events"} for run in runs]
    findings = [
        "a smoke run only shows that everything works; no events or verdicts are read off it"
    ]
    return replace(result, provenance=provenance, findings=findings)


def draw_all(out: Path, jobs: int) -> list[dict[str, Any]]:
    """Draw into `out`, by so many processes; a row a figure and scale, of what was made.

    At a scale other than `SCALE` only what is whole: of which nothing is still to be made.
    """
    names = [(paper, slot) for paper in papers() for slot in figures_of(paper)]
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _be_silent)
    try:
        drawn = {pool.submit(_drawn, *name, out): name for name in names}
        with ProgressReport("draw", len(names), "figures") as report:
            for done in as_completed(drawn):
                done.result()
                report.advance(note=" ".join(drawn[done]))
    except BaseException:
        for worker in active_children():  # else the exit waits for what they are drawing
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [row for each in drawn for row in each.result()]


def _be_silent() -> None:
    """Leave progress to the process that waits for all."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _drawn(paper: str, slot: str, out: Path) -> list[dict[str, Any]]:
    figure, name = figures_of(paper)[slot], f"{paper} {slot}"
    kept: dict[Scale, list[list[Any]]] = figure.kept_at() if figure.needs else {SCALE: []}
    whole: dict[Scale, list[list[Any]]] = {
        scale: found for scale, found in kept.items() if all(found) or scale == SCALE
    }
    if not whole or (figure.needs and not any(map(any, whole.values()))):
        return [{"figure": name, "file": "not made"}]
    rows = []
    for scale, found in whole.items():
        path = figure.drawn(found).write(out, stem_of(figure.stem, scale))[0]
        rows.append({"figure": name, "file": str(path)})
    return rows
