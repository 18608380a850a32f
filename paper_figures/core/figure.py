"""What drawing a figure gives, and how it is written.

What a figure is, and where figures are found.

A figure is a file in the folder of its paper, with the value `FIGURE`.  Nothing else lists it.
"""

import contextlib
import csv
import io
import pkgutil
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

import paper_figures
from coopetition.plot.style import PRINT, figure_bytes
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_writable, write_bytes, write_json, write_text
from paper_figures.core.claims import Claim
from paper_figures.core.kept_data import DATA
from paper_figures.core.runs import Need, NotKeptError, all_found
from transformer.config.run import Scale

VERSIONS = ("coopetition", "numpy", "matplotlib", "torch")

Numbers = list[tuple[str, str, float, float]]


@dataclass(frozen=True, slots=True)
class FigureResult:
    """A drawing, its numbers and where they come from.

    numbers : rows (panel, curve, x, y), every point that is drawn
    provenance : plain values
    findings : what it shows, in lines to print
    """

    drawing: Drawing
    numbers: Numbers
    provenance: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def write(self, out: Path, stem: str) -> list[Path]:
        """Write `stem`.png, .pdf, .csv and .json into `out`; none if one cannot be written."""
        paths = {kind: out / f"{stem}.{kind}" for kind in ("png", "pdf", "csv", "json")}
        for path in paths.values():
            check_writable(path)
        try:
            self._write(paths)
        except OSError:
            for path in paths.values():
                path.unlink(missing_ok=True)
            raise
        return list(paths.values())

    def _write(self, paths: dict[str, Path]) -> None:
        for kind in ("png", "pdf"):
            write_bytes(paths[kind], figure_bytes(self.drawing, kind))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["panel", "curve", "x", "y"])
        writer.writerows(
            (panel, curve, f"{x:.8g}", f"{y:.6g}") for panel, curve, x, y in self.numbers
        )
        write_text(paths["csv"], text.getvalue())
        record = {"findings": self.findings, "versions": {name: version(name) for name in VERSIONS}}
        write_json(paths["json"], self.provenance | record)


def blank(width: float, height: float) -> Drawing:
    """A drawing of so many inches to put axes on; not pyplot's, so that none is left open."""
    return Drawing(figsize=(width, height), layout="constrained")


def points(panel: str, curve: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> Numbers:
    """Rows of a curve for `FigureResult.numbers`, without samples that were not measured."""
    known = np.isfinite(y)
    return [(panel, curve, float(a), float(b)) for a, b in zip(x[known], y[known], strict=True)]


SCALES: tuple[Scale, ...] = ("cpu", "gpu", "paper")  # of kept runs


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a paper.

    paper : the folder that it is in
    slot : what commands and files call it; stays, whatever number later versions of the paper give
    number : what the paper calls it
    draw : makes it from what each of `needs` stands for, in that order
    claims : of the paper, each decided by what `draw` takes
    """

    paper: str
    slot: str
    number: str
    title: str
    draw: Callable[..., FigureResult]
    needs: tuple[Need, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def stem(self) -> str:
        """What its files are called."""
        return f"{self.paper}_{self.slot}"

    @property
    def of_several_scales(self) -> bool:
        """Whether its needs have scales of their own."""
        return any(need.scale for need in self.needs)

    def drawn(self, found: Sequence[Any], **sizes: Any) -> FigureResult:
        """The figure of what `needs` stand for, in the house's style, with verdicts on claims.

        sizes : of what `draw` computes, as `n_draws`
        """
        with rc_context(PRINT):
            result = self.draw(*found, **sizes)
        about = {name: getattr(self, name) for name in ("paper", "slot", "number", "title")}
        claims = [{"claim": each.text} | each.judge(*found).to_dict() for each in self.claims]
        return replace(result, provenance=about | {"claims": claims} | result.provenance)

    def missing(self, found: Sequence[list[Any]]) -> list[str]:
        """Which of its needs nothing stands for."""
        return [str(need) for need, own in zip(self.needs, found, strict=True) if not own]

    def kept_at(self, data: Path = DATA) -> dict[Scale, list[list[Any]]]:
        """What is kept of its needs, at each scale at which all but optional ones are."""
        found: dict[Scale, list[list[Any]]] = {}
        for scale in SCALES:
            with contextlib.suppress(NotKeptError):
                own = all_found(self.needs, scale=scale, data=data)
                if own not in found.values():  # needs may have scales of their own
                    found[scale] = own
        return found

    def _kept_in_words(self, scale: Scale, found: list[list[Any]]) -> str:
        """Scale and initial seeds of what is kept, and how much of it is not."""
        of_each = [{each.init_seed for each in own} for own in found if own]
        if not of_each:
            return ""
        seeds = set[int]().union(*of_each)
        whole = seeds.intersection(*of_each) or seeds
        told = " ".join(map(str, sorted(whole)))
        if seeds > whole:
            told += f", of some {' '.join(map(str, sorted(seeds - whole)))}"
        lacks = len(self.missing(found))
        rest = f" ({lacks} of {len(found)} not made)" if lacks else ""
        return f"{'both' if self.of_several_scales else scale} {told}{rest}"

    def status(self) -> dict[str, Any]:
        """What of it is there, in plain values."""
        kept = self.kept_at() if self.needs else {}
        n = len(self.needs)
        missing = min((len(self.missing(found)) for found in kept.values()), default=n)
        told = "not made" if missing == n else f"{missing} of {n} not made" if missing else "kept"
        scales = [self._kept_in_words(scale, found) for scale, found in kept.items()]
        return {
            "figure": f"{self.paper} {self.slot}",
            "number": self.number,
            "status": told if self.needs else "computed",
            "seeds": "; ".join(filter(None, scales)),
            "title": self.title,
        }


def papers() -> dict[str, str]:
    """The papers that figures are of: folder -> what it holds, in a sentence."""
    folders = pkgutil.iter_modules(paper_figures.__path__, "paper_figures.")
    return {
        each.name.removeprefix("paper_figures."): (import_module(each.name).__doc__ or "").strip()
        for each in folders
        if each.ispkg and each.name != "paper_figures.core"
    }


@cache
def figures_of(paper: str) -> dict[str, Figure]:
    """A paper's figures by slot, in the order of their numbers; `UsageError` if it has none."""
    if paper not in papers():
        raise unknown_paper(paper)
    folder = import_module(f"paper_figures.{paper}")
    modules = pkgutil.iter_modules(folder.__path__, f"{folder.__name__}.")
    loaded = [import_module(each.name) for each in modules]
    found = [each.FIGURE for each in loaded if hasattr(each, "FIGURE")]
    return {each.slot: each for each in sorted(found, key=lambda each: _counted(each.slot))}


def unknown_paper(paper: str) -> UsageError:
    """The mistake of asking for figures of a paper that has none here."""
    from transformer.experiments.plans import PLANS

    if paper in PLANS:
        return UsageError(
            f"the figures of {paper} are not made yet; `python -m transformer sweep {paper} "
            f"--runs DIR` trains its runs. Figures are made of {', '.join(papers())}"
        )
    return UsageError(f"unknown paper {paper!r}; choose one of {', '.join(papers())}, or --list")


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
