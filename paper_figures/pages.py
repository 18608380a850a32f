"""The parts of README.md and docs/*.md that are told by what is kept, each between two marks.

`python -m paper_figures pages` writes them anew, and a test compares; `python -m paper_figures
pictures` draws what they show, docs/images.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from coopetition.plot.style import figure_bytes
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_bytes, write_text
from paper_figures.comparison.tables import bet_table, fits_table, forecasts_table, ranks_table
from paper_figures.coopetition.counterparts import counterparts_table, evidence
from paper_figures.coopetition.main_runs import main_runs_table
from paper_figures.coopetition.three_ways import levels_table, three_ways_table
from paper_figures.core.figure import Figure, find_figure
from paper_figures.core.plotting import stem_of
from paper_figures.core.runs import SCALE, all_found
from paper_figures.core.verdicts import counts, explanations, results_table
from paper_figures.demo import demo_table
from transformer.config.run import Scale

ROOT = Path(__file__).parents[1]

PAGES: dict[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"main runs": main_runs_table, "demo seeds": demo_table, "counts": counts},
    "docs/comparison.md": {
        "ranks": ranks_table,
        "forecasts": forecasts_table,
        "bet": bet_table,
        "fits": fits_table,
    },
    "docs/interventions.md": {"evidence": evidence, "counterparts": counterparts_table},
    "docs/coopetition.md": {"three ways": three_ways_table, "levels": levels_table},
    "docs/results.md": {"counts": counts, "claims": results_table, "explanations": explanations},
}

PICTURES: Mapping[tuple[str, str], Scale] = {  # figures, and the scale of their runs
    ("coopetition", "1"): SCALE,
    ("coopetition", "5"): "paper",
    **{("theory", slot): SCALE for slot in "123456"},
}


def filled(page: str, text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """The text of a page with its parts as they are now."""
    for name, made in parts.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.escape(start) + ".*?" + re.escape(end)
        new = f"{start}\n{made()}\n{end}"
        text, n = re.subn(pattern, lambda _, new=new: new, text, flags=re.DOTALL)
        if not n:
            raise UsageError(f"{page} has no {start} before {end}; put both where it is to be")
    return text


def pictures() -> dict[Path, tuple[Figure, Scale]]:
    """The pictures of the pages: where each lies, and what it shows."""
    folder = ROOT / "docs" / "images"
    found: dict[Path, tuple[Figure, Scale]] = {}
    for (paper, slot), scale in PICTURES.items():
        figure = find_figure(paper, slot)
        found[folder / f"{stem_of(figure.stem, scale)}.png"] = figure, scale
    return found


def write_pages() -> list[Path]:
    """Write the words of all pages; where."""
    paths = []
    for name, parts in PAGES.items():
        path = ROOT / name
        write_text(path, filled(name, path.read_text(), parts))
        paths.append(path)
    return paths


def write_pictures() -> list[Path]:
    """Draw the pictures of all pages; where."""
    with ProgressReport("draw", len(PICTURES), "pictures") as report:
        for path, (figure, scale) in pictures().items():
            drawing = figure.drawn(all_found(figure.needs, scale=scale)).drawing
            write_bytes(path, figure_bytes(drawing, "png"))
            report.advance(note=path.stem)
    return [*pictures()]
