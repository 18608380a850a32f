"""What a figure is, and where figures are found.

A figure is a file in the folder of its paper, with the value `FIGURE`.  Nothing else lists it.
"""

import contextlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib import rc_context

import paper_figures
from coopetition.plot.style import PRINT
from coopetition.tools.errors import UsageError
from paper_figures.claim import Claim
from paper_figures.kept import DATA
from paper_figures.needs import Need, all_found
from paper_figures.result import FigureResult
from paper_figures.sources import NotKeptError
from transformer.config.scale import Scale

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
        if each.ispkg
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
