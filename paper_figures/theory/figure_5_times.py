"""Times of emergence and takeover: predicted from the state after the collapse, and simulated."""

import numpy as np

from paper_figures.core.figure import Figure, FigureResult, blank, points

HORIZON = 10**6


def measure(n_draws: int) -> dict[str, np.ndarray]:
    """Return times from the end of the collapse, (n_draws,); NaN for an event that is missing."""
    from coopetition import random_draw, solve, two_strategies
    from coopetition.theory.times import after_collapse, collapse_time, escape_time, slow_times
    from coopetition.tools.console import ProgressReport

    rows = []
    with ProgressReport("times", n_draws, "draws") as progress:
        for seed in range(n_draws):
            flow = solve(two_strategies(), random_draw(seed), method="flow", t1=HORIZON)
            state, events = after_collapse(flow), flow.events()
            slow = slow_times(flow.problem, state)
            times = {
                "emergence": events.emergence,
                "takeover": events.takeover,
                "slow emergence": slow.emergence,
                "slow takeover": slow.takeover,
                "escape": state.time + escape_time(flow.problem, state),
                "collapse": 2 * state.time,
                "predicted collapse": state.time + collapse_time(flow.problem, flow.state(0)),
            }
            rows.append([(np.nan if t is None else t) - state.time for t in times.values()])
            progress.advance()
    return dict(zip(times, np.array(rows).T, strict=True))


def compare(name: str, measured: np.ndarray, predicted: np.ndarray) -> str:
    """Return the median and 90th percentile of the relative error, and the rank correlation."""
    from scipy.stats import spearmanr

    known = np.isfinite(measured) & np.isfinite(predicted) & (measured > 0)
    error = np.abs(predicted[known] / measured[known] - 1)
    rank, _ = spearmanr(measured[known], predicted[known])
    missed = int((np.isfinite(measured) != np.isfinite(predicted)).sum())
    return (
        f"{name}: n {known.sum()}, relative error median {np.median(error):.2%}, 90 % "
        f"{np.percentile(error, 90):.1%}, rank correlation {rank:.4f}; {missed} happen in one alone"
    )


def draw(n_draws: int = 500) -> FigureResult:
    """Draw predicted against measured times, for three predictions."""
    from matplotlib.ticker import NullFormatter

    times = measure(n_draws)
    came = np.isfinite(times["emergence"]) & (times["takeover"] > times["emergence"])
    after = {key: np.where(came, times[key], np.nan) for key in ("takeover", "slow takeover")}
    panels: list[tuple[str, np.ndarray, np.ndarray]] = [
        ("emergence: slow system", times["emergence"], times["slow emergence"]),
        ("takeover after emergence: slow system", after["takeover"], after["slow takeover"]),
        (
            "from emergence to takeover: slow system",
            after["takeover"] - times["emergence"],
            after["slow takeover"] - times["slow emergence"],
        ),
        ("emergence: closed form", times["emergence"], times["escape"]),
    ]
    drawing = blank(7.2, 2.5)
    numbers, findings = [], []
    for ax, (name, measured, predicted) in zip(drawing.subplots(1, 4), panels, strict=True):
        ax.loglog(measured, predicted, ".", ms=3)
        ends = [np.nanmin(measured), np.nanmax(measured)]
        ax.loglog(ends, ends, color="grey", lw=0.8)
        ax.set(xlabel="simulated", ylabel="predicted")
        ax.xaxis.set_minor_formatter(NullFormatter())  # within one decade they overlap
        ax.set_title(name.replace(": ", ":\n"))
        numbers += points(name, "draws", measured, predicted)
        findings.append(compare(name, measured, predicted))
    findings.append(compare("collapse", times["collapse"], times["predicted collapse"]))
    return FigureResult(drawing, numbers, {"n_draws": n_draws}, findings)


FIGURE = Figure(
    __name__,
    "times predicted from the state after the collapse, against simulation",
    draw,
)
