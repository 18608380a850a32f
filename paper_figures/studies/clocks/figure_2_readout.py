"""Measured accuracies against those that signal detection predicts from train and Flip alone."""

from coopetition.plot.style import COLOURS
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.studies.clocks.readout import STRATEGIES, relations

N_COLUMNS = 3


def draw() -> FigureResult:
    """Draw a panel per group of runs, with a dot per evaluation and strategy."""
    groups = relations()
    n_rows = -(-len(groups) // N_COLUMNS)
    drawing = blank(7.2, 2.1 * n_rows)
    axes = drawing.subplots(n_rows, N_COLUMNS, sharex=True, sharey=True, squeeze=False)
    numbers: Numbers = []
    findings = []
    for ax in axes.flat[len(groups) :]:
        ax.axis("off")
    for ax, (group, own) in zip(axes.flat, groups.items(), strict=False):
        for name in STRATEGIES:
            for run, each in own.items():
                x, y = each.predicted[name], each.measured[name]
                ax.plot(x, y, ".", ms=1.5, alpha=0.4, mew=0, color=COLOURS[name], rasterized=True)
                curve = f"{name}, {run}"
                numbers += [(group, curve, *at) for at in zip(x.tolist(), y.tolist(), strict=True)]
            errors = sorted(each.rmse[name] for each in own.values())
            findings.append(f"{group}, {name}: error {errors[0]:.3f} to {errors[-1]:.3f}")
        ax.axline((0, 0), slope=1, color="grey", lw=0.6)
        ax.set(title=group, xlim=(0, 1), ylim=(0, 1))
        ax.title.set_fontsize(6)
    for ax in axes[-1]:
        ax.set(xlabel="predicted from train and Flip")
    for ax in axes[:, 0]:
        ax.set(ylabel="measured")
    for name in STRATEGIES:
        axes[0, 0].plot([], [], "o", ms=3, color=COLOURS[name], label=name.upper())
    axes[0, 0].legend(frameon=False)
    return FigureResult(drawing, numbers, {}, findings)


FIGURE = Figure(__name__, "accuracies by signal detection, without any parameter", draw)
