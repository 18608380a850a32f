"""What a figure is, and where figures are found.

A figure is a file in the folder of its paper, with the value `FIGURE`.  Nothing else lists it.
"""

import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import paper_figures
from coopetition.tools.errors import UsageError
from paper_figures.result import FigureResult


@dataclass(frozen=True, slots=True)
class Runs:
    """What a figure needs of the trainer: runs of a preset, a seed each."""

    preset: str


@dataclass(frozen=True, slots=True)
class Tables:
    """What a figure needs of models: what was measured of them in runs of a preset, a seed each.

    `kind` : of the sweep's nodes that measure it, see `transformer.experiments.mechanisms`
    """

    kind: str
    preset: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a paper.

    paper : the folder that it is in
    slot : what commands and files call it; stays, whatever number later versions of the paper give
    number : what the paper calls it
    draw : makes it from what each of `needs` stands for, in that order
    """

    paper: str
    slot: str
    number: str
    title: str
    draw: Callable[..., FigureResult]
    needs: tuple[Runs | Tables, ...] = ()

    def describe(self) -> dict[str, Any]:
        """What it is, in plain values."""
        names = ("paper", "slot", "number", "title")
        return {name: getattr(self, name) for name in names}


def papers() -> dict[str, str]:
    """The papers that figures are of: folder -> what it holds, in a sentence."""
    folders = pkgutil.iter_modules(paper_figures.__path__, "paper_figures.")
    return {
        each.name.removeprefix("paper_figures."): (import_module(each.name).__doc__ or "").strip()
        for each in folders
        if each.ispkg
    }


@cache
def figures_of(paper: str) -> dict[str, Figure]:
    """A paper's figures by slot, in the order of their numbers."""
    folder = import_module(f"paper_figures.{paper}")
    modules = pkgutil.iter_modules(folder.__path__, f"{folder.__name__}.")
    loaded = [import_module(each.name) for each in modules]
    found = [each.FIGURE for each in loaded if hasattr(each, "FIGURE")]
    return {each.slot: each for each in sorted(found, key=lambda each: _counted(each.slot))}


def _counted(slot: str) -> list[tuple[int, str]]:
    """A key that sorts 2 before 10."""
    return [(int(digits or 0), rest) for digits, rest in re.findall(r"(\d*)(\D*)", slot)]


def find_figure(paper: str, name: str) -> Figure:
    """A paper's figure by its slot or its number; another name raises `UsageError`."""
    figures = figures_of(paper)
    numbered = {each.number: each for each in figures.values()}
    if name not in figures | numbered:
        raise UsageError(f"{paper} has no figure {name}; choose one of {', '.join(figures)}")
    return figures[name] if name in figures else numbered[name]
