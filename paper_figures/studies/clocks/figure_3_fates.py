"""The fate of ICL by the noise of the two cues, from the flow of `coopetition.dynamics.cues`."""

import numpy as np

from coopetition.dynamics.cues import accuracy_curves, flow
from coopetition.model.two_cues import TwoCues
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.studies.clocks.simulated import NOISE, STARTS

TIMES = np.append(0.0, np.geomspace(1e-2, 1e3, 300))
KAPPA = 0.2
N_LEVELS = 9


def draw(n_levels: int = N_LEVELS) -> FigureResult:
    """Draw Flip's highest and last accuracy over both noises, and the line sigma = nu."""
    levels = np.linspace(0.3, 1.5, n_levels)
    top, end = (np.empty((n_levels, n_levels)) for _ in range(2))
    for i, nu in enumerate(levels):
        for j, sigma in enumerate(levels):
            cues = TwoCues(float(sigma), float(nu))
            states = flow(cues, STARTS["first"], TIMES, kappa=KAPPA, rtol=1e-6)
            end[i, j] = cues.accuracies(*cues.optimum)["flip"]
            top[i, j] = max(accuracy_curves(cues, states)["flip"].max(), end[i, j])
    drawing = blank(6.0, 2.8)
    axes = drawing.subplots(1, 2, sharey=True)
    numbers: Numbers = []
    for ax, values, title in zip(axes, (top, end), ("a  highest", "b  in the end"), strict=True):
        mesh = ax.pcolormesh(levels, levels, values, cmap="RdBu", vmin=0, vmax=1, shading="nearest")
        ax.contour(levels, levels, values, [0.5], colors="black", linewidths=0.8)
        ax.plot(levels, levels, color="grey", lw=0.8, ls=":")
        ax.plot(NOISE.sigma, NOISE.nu, "k*", ms=5)
        ax.set(title=title, xlabel="sigma, noise of ICL's cue")
        numbers += [
            (title, f"nu {nu:.2f}", float(sigma), float(values[i, j]))
            for i, nu in enumerate(levels)
            for j, sigma in enumerate(levels)
        ]
    axes[0].set(ylabel="nu, noise of CIWL's cue")
    drawing.colorbar(mesh, ax=list(axes), label="Flip accuracy")
    shares = [float(np.mean(each > 0.5)) for each in (top, end)]
    finding = f"ICL is preferred at some time for {shares[0]:.0%}, in the end for {shares[1]:.0%}"
    return FigureResult(drawing, numbers, {"kappa": KAPPA}, [finding])


FIGURE = Figure(__name__, "the fate of ICL by the noise of its cue and of CIWL's", draw)
