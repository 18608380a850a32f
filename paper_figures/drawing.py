"""Drawing every figure of which what it needs is kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coopetition.tools.progress import ProgressReport
from paper_figures.figure import Figure, figures_of, papers
from paper_figures.sources import SCALE
from transformer.config.scale import Scale


def stem_of(figure: Figure, scale: Scale, preset: str | None = None) -> str:
    """The name of a figure's files, which tells if it is drawn from other runs than its own."""
    stem = f"{figure.paper}_{figure.slot}"
    if preset is not None and preset not in {need.preset for need in figure.needs}:
        stem += f"_{preset.replace('/', '_')}"
    return stem if scale == SCALE else f"{stem}_{scale}"


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
        path = figure.drawn(found).write(out, stem_of(figure, scale))[0]
        yield {"figure": name, "file": str(path)}
