"""The generated parts of paper.md and docs/*.md, each between two marks, and their pictures.

`python -m paper_figures pages` rewrites the parts, `python -m paper_figures pictures` redraws
docs/images.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from coopetition.plot.style import figure_bytes
from coopetition.tools.console import ProgressReport
from coopetition.tools.errors import UsageError
from coopetition.tools.files import write_bytes, write_text
from paper_figures.coopetition.page_coopetition import levels_table, starts_table, three_ways_table
from paper_figures.coopetition.page_interventions import checkpoints_table, counterparts_table
from paper_figures.coopetition.page_main_runs import main_runs_table
from paper_figures.core.figure import Figure, find_figure
from paper_figures.core.kept_data import SCALE
from paper_figures.core.runs import find_needs
from paper_figures.core.verdicts import (
    claims_table,
    explanations,
    verdict_counts,
)
from paper_figures.demo import demo_table
from paper_figures.studies.clocks import (
    large_batch,
    laws,
    page_clocks,
    predicted_steps,
    proportions,
    scaling,
)
from paper_figures.studies.clocks.forecasts import forecasts_table as forecasts_of_clocks_table
from paper_figures.studies.clocks.predictions import PATH as PREDICTIONS
from paper_figures.studies.clocks.predictions import rule_text
from paper_figures.studies.clocks.readout import readout_table
from paper_figures.studies.clocks.readout_fits import fits_table as fits_of_readout_table
from paper_figures.studies.clocks.readout_fits import noise_table
from paper_figures.studies.clocks.simulated import ingredients_table
from paper_figures.studies.comparison.figure_3_calibration import coverage_table
from paper_figures.studies.comparison.page_comparison import (
    evidence_tables,
    fits_table,
    forecasts_tables,
    prediction_table,
    toy_table,
)
from paper_figures.studies.within_class.floors import delays_table, floors_table
from paper_figures.transience.page_transience import events_table
from transformer.config.run import Scale

ROOT = Path(__file__).parents[1]


def _claims_of(paper: str) -> dict[str, Callable[[], str]]:
    """Return the parts of the page on a paper's claims."""
    blocks = {"counts": verdict_counts, "claims": claims_table, "explanations": explanations}
    return {f"{name} of {paper}": partial(block, paper) for name, block in blocks.items()}


PAGES: dict[str, Mapping[str, Callable[[], str]]] = {
    "paper.md": {"counts": partial(verdict_counts, "coopetition")},
    "docs/clocks.md": {
        "runs": page_clocks.counts,
        "spreads": page_clocks.spreads_table,
        "equal noise": scaling.equal_noise_table,
        "laws": laws.laws_table,
        "memory": laws.memory_table,
        "predicted cells": partial(predicted_steps.steps_table, predicted_steps.CELLS),
        "predicted arms": partial(predicted_steps.steps_table, predicted_steps.ARMS),
        "ingredients": ingredients_table,
    },
    "docs/clocks_predictions.md": {
        "ideas": page_clocks.ideas_list,
        "rule": partial(rule_text, PREDICTIONS),
        "exponents": page_clocks.exponents_table,
        "arms": page_clocks.arms_table,
        "states": page_clocks.states_table,
        "rule of cells": partial(rule_text, predicted_steps.CELLS),
        "rule of arms": partial(rule_text, predicted_steps.ARMS),
        "rule of large batch": partial(rule_text, large_batch.PATH),
        "large batch": large_batch.table,
        "proportions rule": partial(rule_text, proportions.PATH),
        "proportions": proportions.proportions_table,
        "forecasts": forecasts_of_clocks_table,
    },
    "docs/two_cues.md": {
        "readout": readout_table,
        "readout fits": fits_of_readout_table,
        "noise of cues": noise_table,
        "floors": floors_table,
        "delays": delays_table,
    },
    "docs/comparison.md": {
        "coverage": coverage_table,
        "evidence": evidence_tables,
        "toy": toy_table,
        "forecasts": forecasts_tables,
        "predictions": prediction_table,
        "fits": fits_table,
    },
    "docs/interventions.md": {
        "counterparts": counterparts_table,
        "checkpoints": checkpoints_table,
    },
    "docs/coopetition.md": {
        "three ways": three_ways_table,
        "starts": starts_table,
        "levels": levels_table,
    },
    "docs/results.md": _claims_of("coopetition")
    | {"main runs": main_runs_table, "demo seeds": demo_table},
    "docs/transience.md": _claims_of("transience") | {"events": events_table},
}

PICTURES: Mapping[tuple[str, str], Scale] = {  # figures, and the scale of their runs
    ("coopetition", "1"): SCALE,
    ("coopetition", "5"): "paper",
    ("clocks", "1"): SCALE,
    ("clocks", "2"): SCALE,
    ("clocks", "3"): SCALE,
    ("clocks", "4"): SCALE,
    **{("theory", slot): SCALE for slot in "123456"},
}


def fill(page: str, text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return the text of a page with its parts generated anew."""
    for name, generate in parts.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(start)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            raise UsageError(f"{page} has no {start} before {end}; put both around the part")
        text = f"{before}{start}\n{generate()}\n{end}{after}"
    return text


def check_checkout() -> None:
    """Raise an error in an installed package, which has no pages."""
    if not (ROOT / "docs" / "images").is_dir():
        raise UsageError(f"{ROOT} has no docs/images; run this in a checkout of the repository")


def pictures() -> dict[Path, tuple[Figure, Scale]]:
    """Return the file of each picture, its figure and scale."""
    found: dict[Path, tuple[Figure, Scale]] = {}
    for name, scale in PICTURES.items():
        figure = find_figure(*name)
        found[ROOT / "docs" / "images" / f"{figure.stem(scale)}.png"] = figure, scale
    return found


def write_pages() -> list[Path]:
    """Rewrite all pages; return their paths."""
    check_checkout()
    paths = [ROOT / name for name in PAGES]
    for path, (name, parts) in zip(paths, PAGES.items(), strict=True):
        write_text(path, fill(name, path.read_text(), parts))
    return paths


def write_pictures() -> list[Path]:
    """Redraw all pictures; return their paths."""
    check_checkout()
    with ProgressReport("draw", len(PICTURES), "pictures") as report:
        for path, (figure, scale) in pictures().items():
            drawing = figure.render(find_needs(figure.needs, scale=scale)).drawing
            write_bytes(path, figure_bytes(drawing, "png"))
            report.advance(note=path.stem)
    return [*pictures()]
