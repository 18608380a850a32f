"""Figures: definition, discovery, drawing and writing.

A figure is a file `figure_SLOT.py` or `figure_SLOT_WORDS.py` with the value `FIGURE`, in the folder
of its paper or study.  Nothing else lists it.  Its module imports nothing heavy before it is drawn
(torch, scipy, sympy, matplotlib), so that figures can be listed at once.
"""

import ast
import contextlib
import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import paper_figures
from coopetition.plot.style import PRINT, figure_bytes
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_writable, write_bytes, write_json, write_text
from coopetition.tools.versions import package_version
from paper_figures.core.claims import Claim
from paper_figures.core.kept_data import DATA, SCALE, SCALES
from paper_figures.core.runs import NotKeptError, Runs, find_needs, natural_key
from transformer.config.run import Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

VERSIONS = ("coopetition", "numpy", "matplotlib", "torch")

Numbers = list[tuple[str, str, float, float]]
Found = list[list[Any]]


@dataclass(frozen=True, slots=True)
class FigureResult:
    """A drawing, its numbers and where they come from.

    numbers : rows (panel, curve, x, y), every point that is drawn
    provenance : plain values
    findings : what it shows, in lines to print
    """

    drawing: "Drawing"
    numbers: Numbers
    provenance: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def write(self, out: Path, stem: str) -> list[Path]:
        """Write `stem`.png, .pdf, .csv and .json into `out`, or nothing if one cannot be."""
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
        writer.writerows((*names, f"{x:.8g}", f"{y:.6g}") for *names, x, y in self.numbers)
        write_text(paths["csv"], text.getvalue())
        versions = {name: package_version(name) for name in VERSIONS}
        record = {"findings": self.findings, "versions": versions}
        write_json(paths["json"], self.provenance | record)

    def as_trial(self) -> "FigureResult":
        """Mark a drawing of runs of a few steps; drop events and verdicts, which are noise."""
        self.drawing.suptitle("smoke run: not a result", fontsize=8, color="firebrick")
        finding = "a smoke run only shows that everything works; it has no events or verdicts"
        return replace(self, provenance={"scale": "smoke"}, findings=[finding])


def blank(width: float, height: float) -> "Drawing":
    """Return an empty drawing of this size in inches; not pyplot's, so that none is left open."""
    from matplotlib.figure import Figure as Drawing

    return Drawing(figsize=(width, height), layout="constrained")


def points(panel: str, curve: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> Numbers:
    """Return rows of a curve for `FigureResult.numbers`, without samples not measured."""
    known = np.isfinite(y)
    return [(panel, curve, float(a), float(b)) for a, b in zip(x[known], y[known], strict=True)]


@contextlib.contextmanager
def print_style() -> Iterator[None]:
    """Draw in the style of all figures."""
    from matplotlib import rc_context

    with rc_context(PRINT):
        yield


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a paper.

    module : the name of its module, which tells its paper (the folder) and its slot
    draw : makes it from what was found of each of `needs`, in that order
    claims : of the paper, each judged by what `draw` takes
    name_in_paper : what the paper calls it, if that is not its slot
    """

    module: str
    title: str
    draw: Callable[..., FigureResult]
    needs: tuple[Runs, ...] = ()
    claims: tuple[Claim, ...] = ()
    name_in_paper: str = ""

    @property
    def paper(self) -> str:
        """Return the name of its folder."""
        return self.module.split(".")[-2]

    @property
    def slot(self) -> str:
        """Return what commands and files call it, in all versions of the paper."""
        return self.module.rpartition(".figure_")[2].partition("_")[0]

    @property
    def number(self) -> str:
        """Return what the paper calls it."""
        return self.name_in_paper or self.slot

    @property
    def of_several_scales(self) -> bool:
        """Return whether its needs have scales of their own."""
        return any(need.scale for need in self.needs)

    @property
    def _scales(self) -> tuple[Scale, ...]:
        return SCALES[:1] if self.of_several_scales else SCALES

    def stem(self, scale: Scale = SCALE, init_seed: int | None = None) -> str:
        """Return the name of its files, which tells what else than the default was asked for."""
        return stem_of(f"{self.paper}_{self.slot}", scale, init_seed)

    def render(self, found: Sequence[Any], **sizes: Any) -> FigureResult:
        """Draw the figure of what was found of its needs, and judge its claims.

        sizes : of what `draw` computes, such as `n_draws`
        """
        with print_style():
            result = self.draw(*found, **sizes)
        about = {name: getattr(self, name) for name in ("paper", "slot", "number", "title")}
        claims = [{"claim": each.text} | each.judge(*found).to_dict() for each in self.claims]
        return replace(result, provenance=about | {"claims": claims} | result.provenance)

    def missing(self, found: Sequence[list[Any]]) -> list[str]:
        """Return the names of missing presets and tables."""
        pairs = zip(self.needs, found, strict=True)
        return [name for need, own in pairs for name in need.missing(own)]

    def find_all(self, data: Path = DATA) -> dict[Scale, Found]:
        """Return the kept runs by scale; skip scales that lack a required need."""
        found: dict[Scale, Found] = {}
        for scale in self._scales:
            with contextlib.suppress(NotKeptError):
                found[scale] = find_needs(self.needs, scale=scale, data=data)
        return found if self.needs else {SCALE: []}

    def status(self) -> dict[str, str]:
        """Return kept seeds and missing needs by scale, from index.json and tables.json only."""
        kept = []
        for scale in self._scales:
            seeds = [need.seeds(scale) for need in self.needs]
            is_enough = all(
                own or need.optional for own, need in zip(seeds, self.needs, strict=True)
            )
            if is_enough and any(seeds):
                name = "both" if self.of_several_scales else scale
                text = " ".join(map(str, sorted(set[int]().union(*seeds))))
                n_missing = seeds.count(set())
                missing = f" ({n_missing} of {len(seeds)} missing)" if n_missing else ""
                kept.append(f"{name} {text}{missing}")
        return {
            "figure": f"{self.paper} {self.slot}",
            "number": self.number,
            "seeds by scale": ("; ".join(kept) or "missing") if self.needs else "computed",
            "title": self.title,
        }


def stem_of(name: str, scale: Scale, init_seed: int | None = None) -> str:
    """Return the name of a drawing's files."""
    suffix = "" if scale == SCALE else f"_{scale}"
    return name.replace("/", "_") + suffix + ("" if init_seed is None else f"_init_{init_seed}")


def _folders() -> dict[str, tuple[str, Path]]:
    """Return the package and the folder of each paper or study."""
    found = {}
    for root in map(Path, paper_figures.__path__):
        for folder in sorted({path.parent for path in root.rglob("figure_*.py")}):
            found[folder.name] = (
                ".".join(("paper_figures", *folder.relative_to(root).parts)),
                folder,
            )
    return found


def papers() -> dict[str, str]:
    """Return the papers and studies that figures are of, with what each folder says it holds."""
    return {
        name: ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        for name, (_, folder) in _folders().items()
    }


@cache
def figures_of(paper: str) -> dict[str, Figure]:
    """Return a paper's figures by slot, sorted; `UsageError` if it has none."""
    folders = _folders()
    if paper not in folders:
        choices = ", ".join(papers())
        raise UsageError(f"no figures of {paper!r}; choose one of {choices}, or --list")
    package, folder = folders[paper]
    stems = sorted((path.stem for path in folder.glob("figure_*.py")), key=natural_key)
    figures: list[Figure] = [import_module(f"{package}.{stem}").FIGURE for stem in stems]
    figures.sort(key=lambda figure: (figure.slot[:1].isdigit(), natural_key(figure.slot)))
    return {figure.slot: figure for figure in figures}


def find_figure(paper: str, name: str) -> Figure:
    """Return a paper's figure by its slot or its number; another name raises `UsageError`."""
    figures = figures_of(paper)
    by_name = {figure.number: figure for figure in figures.values()} | figures
    if name not in by_name:
        raise UsageError(f"{paper} has no figure {name}; choose one of {', '.join(figures)}")
    return by_name[name]


def draw_all(out: Path, jobs: int) -> list[dict[str, str]]:
    """Draw all figures into `out`, by so many processes; return a row per figure and scale.

    At a scale other than the default only figures of which nothing is missing.
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import active_children, get_context

    from coopetition.tools.console import ProgressReport

    names = [(paper, slot) for paper in papers() for slot in figures_of(paper)]
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _silence)
    try:
        drawn = {pool.submit(_draw, *name, out): name for name in names}
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


def _silence() -> None:
    """Leave progress to the process that waits for all."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _draw(paper: str, slot: str, out: Path) -> list[dict[str, str]]:
    figure = figures_of(paper)[slot]
    rows = []
    for scale, found in figure.find_all().items():
        is_whole = all(found)
        if is_whole or (scale == SCALE and any(found)):
            path = figure.render(found).write(out, figure.stem(scale))[0]
            rows.append({"figure": f"{paper} {slot}", "file": str(path)})
    return rows or [{"figure": f"{paper} {slot}", "file": "missing"}]
