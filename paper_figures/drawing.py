"""Drawing every figure of which what it needs is kept, and the runs of a preset."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from coopetition.plot.style import PRINT
from coopetition.tools.progress import ProgressReport
from paper_figures.figure import Figure, figures_of, papers
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


def draw_all(out: Path) -> list[dict[str, Any]]:
    """Draw into `out`; a row a figure and scale, of what was made.

    At a scale other than `SCALE` only what is whole: of which nothing is still to be made.
    """
    figures = [each for paper in papers() for each in figures_of(paper).values()]
    rows = []
    with ProgressReport("draw", len(figures), "figures") as report:
        for figure in figures:
            rows += _drawn(figure, out)
            report.advance(note=f"{figure.paper} {figure.slot}")
    return rows


def _drawn(figure: Figure, out: Path) -> Iterator[dict[str, Any]]:
    name = f"{figure.paper} {figure.slot}"
    kept: dict[Scale, list[list[Any]]] = figure.kept_at() if figure.needs else {SCALE: []}
    whole: dict[Scale, list[list[Any]]] = {
        scale: found for scale, found in kept.items() if all(found) or scale == SCALE
    }
    if not whole or (figure.needs and not any(map(any, whole.values()))):
        yield {"figure": name, "file": "not made"}
        return
    for scale, found in whole.items():
        path = figure.drawn(found).write(out, stem_of(figure.stem, scale))[0]
        yield {"figure": name, "file": str(path)}
