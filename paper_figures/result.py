"""What drawing a figure gives, and how it is written."""

import csv
import io
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray

from coopetition.plot.style import figure_bytes
from coopetition.tools.files import check_writable, write_bytes, write_json, write_text

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
