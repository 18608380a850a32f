"""`coopetition demo`: train, fit and draw the phenomenon beside its explanation."""

import time
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from coopetition.fitting.result import Fit
from coopetition.tools.console import print_progress, print_written
from coopetition.tools.files import markdown_table, write_text
from paper_figures.coopetition.fits import (
    absence,
    draw_fitted,
    draw_losses,
    draw_minimal_model,
    fit_record,
    fit_run,
)
from paper_figures.core.figure import FigureResult, Numbers, blank
from paper_figures.core.plotting import draw_half, draw_run
from paper_figures.core.published import solve_published
from paper_figures.core.runs import FigureRun, kept_runs
from transformer.config import EvaluationConfig, RunConfig
from transformer.experiments.presets import PRESETS
from transformer.measures.timeline import TIMELINE_EVALUATORS
from transformer.training.machine import Machine

PRESET = "demo"
QUICK_STEPS = 3000  # by which ICL has risen in all kept runs of the preset, and not yet fallen
QUICK_FIT = {"n_screened": 256, "n_starts": 8, "max_iterations": 15}
QUICK_PURPOSE = (
    "This is the quick version: it shows that everything works, but is too short to show "
    "in-context learning being replaced. Leave out --quick for that."
)
TITLE = "a transformer on handwriting, the minimal model, and the one fitted to the other"


def run_demo(out: Path, *, quick: bool, threads: int | None) -> None:
    """Train, fit and draw; write `demo.png` (and .pdf, .csv, .json) and `report.md` into `out`.

    After an interruption, the same call continues.
    """
    from paper_figures.core.build import train_run

    start = time.monotonic()
    config = demo_config(quick=quick)
    machine = Machine.choose(threads=threads, n_steps=config.n_steps)
    _say(QUICK_PURPOSE if quick else "takes some minutes, most of them for training")
    _say("1/3 train a transformer on handwriting")
    run = train_run(config, out / ("run_quick" if quick else "run"), machine)
    _say("2/3 fit the minimal model to its losses")
    fitted = fit_run(run, **(QUICK_FIT if quick else {}))
    _say("3/3 solve the minimal model, draw and report")
    paths = draw_demo(run, fitted).write(out, "demo")
    report = _report(run, fitted, quick, time.monotonic() - start)
    write_text(out / "report.md", report)
    print(report)
    for path in (*paths, out / "report.md"):
        print_written(path)


def _say(text: str) -> None:
    print_progress(f"demo: {text}")


def demo_config(*, quick: bool) -> RunConfig:
    """Return the preset `demo`, or its beginning, evaluated often enough for a fit."""
    config = PRESETS[PRESET].config("cpu")
    if not quick:
        return config
    return replace(
        config, n_steps=QUICK_STEPS, evaluation=EvaluationConfig(every=50, n_sequences=500)
    )


def draw_demo(run: FigureRun, fitted: Fit) -> FigureResult:
    """Draw a run's accuracies and losses, the minimal model, and the fit."""
    drawing = blank(10, 7.4)
    (accuracy_axes, loss_axes), (toy_axes, fit_axes) = drawing.subplots(2, 2)
    trajectory = solve_published()
    numbers = _draw_accuracies(accuracy_axes, run)
    numbers += draw_losses(loss_axes, "b", run)
    numbers += draw_minimal_model(toy_axes, "c", trajectory)
    numbers += draw_fitted(fit_axes, "d", fitted)
    record = {"title": TITLE} | fit_record(trajectory, run, fitted)
    return FigureResult(drawing, numbers, record, [run.finding()])


def _draw_accuracies(ax: Axes, run: FigureRun) -> Numbers:
    numbers = draw_run(ax, "a accuracy", run, TIMELINE_EVALUATORS, "in_context_accuracy")
    draw_half(ax)
    ax.set(ylabel="in-context accuracy", ylim=(0, 1), title=f"a  transformer{absence(run)}")
    ax.legend(frameon=False, fontsize="small")
    return numbers


def _report(run: FigureRun, fitted: Fit, quick: bool, seconds: float) -> str:
    config, events = run.provenance["config"], run.timeline().describe().items()
    purpose = f"\n{QUICK_PURPOSE}\n" if quick else ""
    return f"""# Strategy coopetition: a demonstration
{purpose}
![a transformer's accuracies and losses, the minimal model, and its fit](demo.png)

## A transformer
{config["model"]["n_layers"]} layers without MLPs, d_model {config["model"]["d_model"]};
{config["data"]["exemplars"]["n_classes"]:,} classes of handwriting (Omniglot);
{run.n_sequences:,.0f} sequences. {_fate_sentence(run)}

Flip accuracy (panel a) is 1 for in-context learning (ICL) and 0 for context-constrained in-weights
learning (CIWL), which replaces it.

{markdown_table(("event", "value"), events)}

Complete runs of the preset, whose curves are in the package:

{demo_table()}

## The minimal model
Published draw of seed 7, gradient descent with step 1:
```
{solve_published().summary()}
```

## The minimal model fitted to the transformer
From {fitted.problem.runs[0].sequences[0]:.4g} sequences on,
observed loss = floor + gain x the toy's loss:
```
{fitted.summary()}
```
Run {run.provenance["run_id"]}; {seconds:.0f} s in all.
"""


def _fate_sentence(run: FigureRun) -> str:
    """Return what became of ICL."""
    events = run.timeline()
    if events.emergence is None:
        return f"In-context learning is at chance (Flip accuracy at most {events.flip_peak:.2f})."
    rose = f"In-context learning emerged (Flip accuracy up to {events.flip_peak:.2f})"
    if events.fade is None:
        return f"{rose}; it has not faded."
    return f"{rose} and then faded (Flip accuracy {events.flip_final:.2f} at the end)."


def demo_table() -> str:
    """Return what the preset's kept runs show within its length, a column per initial seed."""
    config, runs = demo_config(quick=False), kept_runs(PRESET)
    n_sequences = config.n_steps * config.sequences_per_step
    events = [run.timeline(n_sequences) for run in runs]
    heads = ["initial seed", *(str(run.init_seed) for run in runs)]
    rows = [
        ("emergence (thousand sequences)", [_thousands(each.emergence) for each in events]),
        ("Flip peak", [f"{each.flip_peak:.2f}" for each in events]),
        ("fade (thousand sequences)", [_thousands(each.fade) for each in events]),
        ("Flip at the end", [f"{each.flip_final:.2f}" for each in events]),
    ]
    return markdown_table(heads, ([name, *values] for name, values in rows))


def _thousands(value: float | None) -> str:
    return "not within the run" if value is None else f"{value / 1e3:,.0f}"
