"""The order parameters: two numbers per factor of the minimal model."""

from paper_figures.core.figure import Figure, FigureResult, blank, points
from paper_figures.core.published import solve_published


def draw() -> FigureResult:
    """Draw losses and state against the logarithm of time, and the end of the collapse."""
    from coopetition.plot.toy import plot_losses, plot_state
    from coopetition.theory.times import after_collapse

    drawing = blank(7.2, 2.8)
    loss_axes, state_axes = drawing.subplots(1, 2)
    trajectory = solve_published()
    plot_losses(trajectory, ax=loss_axes)
    plot_state(trajectory, ax=state_axes)
    collapse = after_collapse(trajectory).time
    for ax in (loss_axes, state_axes):
        ax.axvline(collapse, color="grey", lw=0.8, ls=":")
        ax.set(xscale="symlog", xlim=(0, None))
    loss_axes.set(yscale="log", ylim=(1e-3, None))
    state_axes.legend(frameon=False, ncols=2, loc="center left")
    kept = slice(None, None, 20)
    t = trajectory.times[kept]
    numbers = []
    for name, values in trajectory.losses.items():
        numbers += points("losses", name, t, values[kept])
    for k, name in enumerate(trajectory.model.factors):
        numbers += points("state", f"u_{name}", t, trajectory.overlap[k, kept])
        numbers += points("state", f"w_{name}", t, trajectory.orthogonal[k, kept])
    findings = [*trajectory.summary().splitlines(), f"collapse ends at {collapse:.0f}"]
    return FigureResult(drawing, numbers, trajectory.to_dict(), findings)


FIGURE = Figure(__name__, "order parameters of the published draw of seed 7", draw)
