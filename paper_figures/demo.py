"""`coopetition demo`: the phenomenon and its explanation, side by side, from nothing."""

import sys
import time
from dataclasses import asdict
from pathlib import Path

from coopetition.compare.estimate import Fit
from coopetition.tools.files import write_text
from paper_figures.coopetition.figure_5 import FIGURE, draw_run, fit_run
from paper_figures.published import solve_published
from paper_figures.sources import FigureRun, finished_run, kept_runs
from transformer.experiments.preset import PRESETS
from transformer.measures.timeline import Timeline
from transformer.runs.machine import Machine

QUICK_FIT = {"n_screened": 256, "n_starts": 8, "max_iterations": 15}


def run_demo(out: Path, *, quick: bool, threads: int | None) -> None:
    """Train, solve, fit; write `demo.png` (and .pdf, .csv, .json) and `report.md` into `out`.

    Run again after an interruption, it goes on where it was.
    """
    start = time.monotonic()
    preset = "quick" if quick else "glyphs"
    config = PRESETS[preset].make("cpu")
    machine = Machine.choose(threads=threads, n_steps=config.n_steps)
    _say("about a minute in all" if quick else "about six minutes in all, most of it training")
    _say("1/3 train a transformer on procedural glyphs")
    run = finished_run(config, out / f"run_{preset}", machine)
    _say("2/3 fit the minimal model to its losses")
    fitted = fit_run(run, **(QUICK_FIT if quick else {}))
    _say("3/3 solve the minimal model, draw, report")
    paths = draw_run(run, fitted).write(out, "demo", FIGURE.describe())
    report = _report(run, fitted, quick, time.monotonic() - start)
    write_text(out / "report.md", report)
    print(report)
    for path in [*paths, out / "report.md"]:
        print(f"wrote {path}")


def _say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)


def _report(run: FigureRun, fitted: Fit, quick: bool, seconds: float) -> str:
    events = "\n".join(f"| {name} | {_number(v)} |" for name, v in asdict(run.timeline()).items())
    return f"""# Strategy coopetition: a demonstration

![the minimal model, a transformer, and one fitted to the other](demo.png)

## A transformer
{_config_sentence(run)} {_verdict(run, quick)}

| event (sequences seen; accuracies) | value |
|---|---|
{events}

{_seeds_sentence()}

## The minimal model
Published draw of seed 7, gradient descent with step 1:
```
{solve_published().summary()}
```

## The minimal model fitted to the transformer
{_fit_verdict(fitted)}
From {fitted.sequences[0]:.4g} sequences on; observed loss = floor + gain x the toy's loss:
```
{fitted.summary()}
```
Run {run.provenance["run_id"]}, {seconds:.0f} s in all.
"""


def _number(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.4g}"


def _config_sentence(run: FigureRun) -> str:
    config = run.provenance["config"]
    data, model = config["data"], config["model"]
    return (
        f"{model['n_layers']} layers, attention only, d_model {model['d_model']}; "
        f"{data['exemplars']['n_classes']:,} classes of procedural glyphs; "
        f"{run.n_sequences:,.0f} sequences."
    )


def _verdict(run: FigureRun, quick: bool) -> str:
    told = run.timeline()
    rose, faded = rise_and_fade(told)
    if not rose:
        chance = f"is at chance throughout (Flip accuracy at most {told.flip_peak:.2f})"
        longer = "; leave out --quick to see it rise and fade" if quick else ""
        return f"In-context learning {chance}{longer}."
    return "In-context learning emerged" + (" and then faded." if faded else "; it has not faded.")


def _fit_verdict(fitted: Fit) -> str:
    if not fitted.cautions:
        return "The fit has converged, with no parameter at a bound of its search."
    return f"To be read with care: {'; '.join(fitted.cautions)}."


def rise_and_fade(timeline: Timeline) -> tuple[bool, bool]:
    """Did Flip accuracy rise above one half, and fall through it again?"""
    return timeline.emergence is not None, timeline.fade is not None


def _seeds_sentence() -> str:
    """What the kept runs show, in the time that all of them were given."""
    runs = kept_runs("glyphs")
    n_sequences = min(run.n_sequences for run in runs)
    outcomes = [rise_and_fade(run.timeline(n_sequences)) for run in runs]
    rose, faded = (sum(outcome[k] for outcome in outcomes) for k in (0, 1))
    seeds = ", ".join(str(run.init_seed) for run in runs)
    return (
        f"Of {len(runs)} runs of {n_sequences:,.0f} sequences on 12,800 glyph classes (initial "
        f"seeds {seeds}), ICL emerged in {rose} (Flip accuracy above 0.5) and faded within the run "
        f"in {faded} (below it again)."
    )
