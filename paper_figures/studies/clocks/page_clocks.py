"""Generated parts of the pages on clocks: ideas, predictions, and what kept runs say of them."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill

from coopetition.tools.files import markdown_table
from paper_figures.core.kept_data import DATA, SCALE
from paper_figures.studies.clocks.exponents import (
    CLOCKS,
    EVENTS,
    Exponents,
    Interval,
    clock_spread,
    event_steps,
    fit_exponents,
    has_icl,
    observe,
)
from paper_figures.studies.clocks.predictions import (
    ARMS,
    SGD,
    SGD_RAISED,
    Find,
    PredictionVerdict,
    Range,
    arm_factors,
    find_runs,
    judge_exponents,
    judge_factor,
    predictions,
)
from paper_figures.studies.clocks.states import cell_states
from transformer.config.run import Scale
from transformer.experiments.clocks import BASE, RATES

NOT_KEPT = "The runs are not kept yet."
GRID = "grid_*"


def ideas_list() -> str:
    """Return a line for each idea, with its source and derivation."""
    lines = [f"- **{each.name}** ({each.source}): {each.derivation}" for each in predictions()]
    return "\n".join(fill(line, 120, subsequent_indent="  ") for line in lines)


def counts(find: Find = find_runs) -> str:
    """Return how many runs of the grid there are, and in how many an event is missing."""
    runs = find(GRID)
    if not runs:
        return NOT_KEPT
    risen = [run for run in runs if has_icl(run)]
    n_lasting = sum(event_steps(run)["fade"] is None for run in risen)
    text = (
        f"Of {len(runs)} runs of the grid, {len(runs) - len(risen)} never prefer ICL (they have no "
        f"emergence, peak or fade), and {n_lasting} end before the fade."
    )
    return fill(text, 120)


def exponents(find: Find = find_runs) -> dict[str, Exponents | None]:
    """Return the measured exponents by event; None where too few runs have the event."""
    runs = find(GRID)
    return {event: fit_exponents(observe(runs, event)) for event in EVENTS}


def exponents_table(find: Find = find_runs) -> str:
    """Return measured and predicted exponents by event, with verdicts."""
    found = exponents(find)
    measured = ("not measured" if each is None else str(each) for each in found.values())
    rows = [["**measured**", *measured]]
    for idea in predictions():
        if idea.exponents:
            cells = []
            for event, own in found.items():
                predicted = idea.exponents.get(event, {})
                verdict = judge_exponents(own, predicted) if own and predicted else ""
                texts = (f"{name} = {_range_text(each)}" for name, each in predicted.items())
                cells.append(_cell(texts, verdict))
            rows.append([idea.name, *cells])
    return markdown_table(["idea", *EVENTS], rows)


def _cell(texts: Iterable[str], verdict: str) -> str:
    text = ", ".join(texts) or "-"
    return f"{text}: {verdict}" if verdict else text


def _range_text(predicted: Range) -> str:
    low, high = predicted
    if low == high:
        return f"{low:g}"
    if math.isinf(low):
        return f"at most {high:g}"
    return f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"


def arms_table(find: Find = find_runs) -> str:
    """Return the measured and predicted factors of the arms, a row per arm, with verdicts."""
    found, ideas = arm_factors(find), [each for each in predictions() if each.arms]
    rows = []
    for arm in ARMS:
        factor = found.get(arm)
        cells = [f"`{arm}`", _without_factor(arm, find) if factor is None else _factor_text(factor)]
        for idea in ideas:
            predicted = idea.arms.get(arm)
            verdict = judge_factor(factor, predicted) if factor and predicted else ""
            cells.append(_cell([_range_text(predicted)] if predicted else [], verdict))
        rows.append(cells)
    return markdown_table(["arm", "measured", *(idea.name for idea in ideas)], rows)


def _without_factor(arm: str, find: Find) -> str:
    """Say why an arm has no factor; SGD's control is the run at the base run's batch size."""
    if arm in (SGD, SGD_RAISED) and find(f"sgd_*_{BASE[1]}"):
        return f"no ICL at batch {BASE[1]}"
    return "not measured"


def _factor_text(found: Interval) -> str:
    value = 10**found.value
    if math.isinf(found.high):
        return f"at least {value:.2g}"
    if math.isnan(found.low):
        return f"{value:.2g}"
    return f"{value:.2g} ({10**found.low:.2g}, {10**found.high:.2g})"


def spreads_table(find: Find = find_runs) -> str:
    """Return how far event times scatter in each clock, as factors of one standard deviation."""
    runs = find(GRID)
    if not runs:
        return NOT_KEPT
    observed = {event: observe(runs, event) for event in EVENTS}
    spreads = {
        name: [clock_spread(each, clock) for each in observed.values()]
        for name, clock in CLOCKS.items()
    }
    fitted = exponents(find).values()
    spreads["with the measured a and b"] = [
        None if each is None else each.spread for each in fitted
    ]
    rows = [
        [name, *("-" if x is None else f"{x:.2f}" for x in own)] for name, own in spreads.items()
    ]
    rows.append(["runs", *(f"{len(each)}" for each in observed.values())])
    censored = (sum(e.is_censored for e in each) for each in observed.values())
    rows.append(["of these without the event", *(f"{n}" for n in censored)])
    return markdown_table(["clock", *EVENTS], rows)


def states_table(scale: Scale = SCALE, data: Path = DATA) -> str:
    """Return what was measured of states in each cell of the cross, and verdicts."""
    cells = cell_states(scale, data)
    if not cells:
        return NOT_KEPT
    heads = ("rate", "batch", "gradient / loss", "noise / signal", "of the edge", "label growth")
    rows = [
        (
            f"{each.rate:g}",
            f"{each.batch}",
            f"{each.gradient_over_loss:.2g}",
            f"{each.noise_over_signal:.2g}",
            "-" if each.of_edge is None else f"{each.of_edge:.2g}",
            f"{each.label_growth:.2g}",
        )
        for each in cells
    ]
    sharp = [each.of_edge for each in cells if each.rate == max(RATES)]
    judged = {"of_edge": sharp, "label_growth": [each.label_growth for each in cells]}
    verdicts = [
        f"- {idea.name}, `{name}` {_range_text(own)}: {_verdict_on_all(judged[name], own)}"
        for idea in predictions()
        for name, own in idea.measured.items()
    ]
    return "\n".join([markdown_table(heads, rows), "", *verdicts])


def _verdict_on_all(values: Sequence[float | None], predicted: Range) -> PredictionVerdict:
    """Return whether all values lie in a range; undecided while one is unknown."""
    known = [each for each in values if each is not None]
    if any(not predicted[0] <= each <= predicted[1] for each in known):
        return "contradicted"
    return "holds" if len(known) == len(values) else "undecided"
