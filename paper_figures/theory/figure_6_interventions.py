"""Cooperation and competition: the papers' interventions in the toy."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from paper_figures.core.figure import Figure, FigureResult, blank, points
from paper_figures.core.published import published_batch

if TYPE_CHECKING:
    from coopetition.dynamics.batch import ProblemBatch
    from coopetition.studies.interventions import Effect

HORIZON = 30000.0
STARTS = (300, 1000, 2000, 3000, 5000, 10000, 20000)


def draw(n_draws: int = 200, n_map: int = 12) -> FigureResult:
    """Draw cooperation by d's initial size, the effect of a CIWL circuit, and maps of signs."""
    from coopetition.dynamics.batch import descend_batch
    from coopetition.model.presets import PUBLISHED_DIMS, two_strategies
    from coopetition.studies.interventions import (
        after_ciwl,
        circuit,
        ciwl_alone,
        competition,
        cooperation,
        effect_map,
        late_start,
        outcome,
        rivalry,
        sharing,
        without_competition,
    )
    from coopetition.studies.phases import Axis, batch_at

    drawing = blank(7.2, 4.6)
    axes = drawing.subplots(2, 3)
    model = two_strategies()
    numbers, findings = [], []
    published = cooperation(published_batch(), HORIZON)
    findings.append(
        f"published draws: cooperation positive in {(published.values > 0).sum()} of 12, median "
        f"{published.median:+.2f}"
    )

    def random(**point: float) -> "ProblemBatch":
        return batch_at(model, PUBLISHED_DIMS, n_draws, 0, point)

    drawn = random()
    aligned, one_sign = drawn.orthogonal.copy(), np.zeros_like(drawn.orthogonal)
    aligned[3] = 0.0
    for what, batch in (
        ("no orthogonal part of d", replace(drawn, orthogonal=aligned)),
        ("no competition", without_competition(drawn)),
        (
            "no orthogonal parts, overlaps of one sign",
            replace(drawn, orthogonal=one_sign, overlap=np.abs(drawn.overlap)),
        ),
    ):
        found = cooperation(batch, HORIZON)
        findings.append(f"{what}: cooperation positive in {found.positive:.0%}")
    for effect in (cooperation, competition, sharing, rivalry):
        for scale in (1.0, 0.1):
            found = effect(random(scale_d=scale), HORIZON)
            findings.append(_finding(effect.__name__, scale, found))
    scales = np.geomspace(0.02, 2, 13)
    found = [cooperation(random(scale_d=float(scale)), HORIZON) for scale in scales]
    shares = {
        "positive in (share of draws)": [e.positive for e in found],
        "median": [e.median for e in found],
    }
    for name, values in shares.items():
        axes[0, 0].semilogx(scales, values, "o-", label=name)
        numbers += points("cooperation over scale_d", name, scales, np.array(values))
    axes[0, 0].axhline(0.5, color="grey", lw=0.8, ls=":")
    axes[0, 0].set(
        xlabel="initial scale of d", ylim=(-1.5, 1), title="cooperation:\nln T(ICL alone) / T(both)"
    )
    axes[0, 0].legend(frameon=False)
    for ax, effect, title in (
        (axes[0, 1], circuit, "circuit:\nln T(ICL alone) / T(ICL on it)"),
        (axes[0, 2], late_start, "late start:\nln T(both) / T(after the start)"),
    ):
        for scale in (1.0, 0.1):
            effects = [effect(random(scale_d=scale), start, HORIZON) for start in STARTS]
            sizes = np.array([e.median for e in effects])
            ax.semilogx(STARTS, sizes, "o-", label=f"d drawn at {scale:g}")
            numbers += points(effect.__name__, f"scale_d {scale:g}", np.array(STARTS, float), sizes)
            findings += [_finding(each.name, scale, each) for each in effects]
        ax.axhline(0, color="grey", lw=0.8, ls=":")
        ax.set(xlabel="step of the CIWL-only run", title=title)
        ax.legend(frameon=False)
    ciwl = descend_batch(ciwl_alone(drawn), STARTS[-1:])
    late = outcome(after_ciwl(drawn, ciwl.overlap, ciwl.orthogonal), HORIZON)
    findings.append(f"late start: ICL emerges in {np.isfinite(late.emergence).sum()} of {n_draws}")
    log = partial(Axis.between, log=True)
    maps = (
        (log("alpha", 0.01, 1, n_map), log("scale_d", 0.05, 2, n_map)),
        (Axis.between("mu1", 0, 0.4, n_map), log("initial_scale", 0.05, 1, n_map)),
        (log("dim_d", 5, 320, n_map), log("scale_d", 0.05, 1, n_map)),
    )
    for ax, (x, y) in zip(axes[1], maps, strict=True):
        _, positive = effect_map(cooperation, model, x, y, n_draws=n_draws // 2, horizon=HORIZON)
        mesh = ax.pcolormesh(
            x.values, y.values, positive, cmap="RdBu", vmin=0, vmax=1, shading="nearest"
        )
        ax.contour(x.values, y.values, positive, [0.5], colors="black", linewidths=1)
        ax.set(
            xlabel=x.parameter,
            ylabel=y.parameter,
            yscale="log",
            xscale="log" if x.log else "linear",
            title="cooperation positive in",
        )
        for row, value in enumerate(y.values):
            numbers += [
                ("map " + x.parameter, f"{y.parameter} {value:.4g}", float(a), float(b))
                for a, b in zip(x.values, positive[row], strict=True)
            ]
        drawing.colorbar(mesh, ax=ax, label="share of draws")
    return FigureResult(drawing, numbers, {"n_draws": n_draws, "horizon": HORIZON}, findings)


def _finding(name: str, scale: float, effect: "Effect") -> str:
    return (
        f"{name}, d drawn at {scale:g}: median {effect.median:+.2f}, a factor of "
        f"{np.exp(effect.median):.3g}, positive in {effect.positive:.0%} of those with an effect, "
        f"censored in {effect.censored.mean():.0%}"
    )


FIGURE = Figure(__name__, "what CIWL does to ICL: cooperation, competition, and the circuit", draw)
