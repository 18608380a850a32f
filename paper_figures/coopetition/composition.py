"""The table of section 4: what of the first layer the second one reads."""

from collections.abc import Callable

import numpy as np

from coopetition.plot.style import line_styles
from paper_figures.coopetition.heads import compared
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.runs import KeptTable, Tables

EVALUATORS = ("train", "ciwl", "flip")
PAPER = {  # as printed by the notebook of the authors, after 64 million sequences
    "default": (0.9862, 0.9874, 0.0146),
    "kept": (0.9852, 0.9848, 0.0178),
    "only queries recomputed": (0.9574, 0.954, 0.046),
    "only keys recomputed": (0.5706, 0.5748, 0.4466),
    "only values recomputed": (0.5928, 0.5864, 0.400),
}
PATHS = {
    "no heads": (0.627, 0.624, 0.375),
    "heads alone": (0.967, 0.967, 0.034),
}


def draw(mechanisms: list[KeptTable]) -> FigureResult:
    """Bars of the first seed's run; further seeds as points, the paper's as crosses."""
    drawing = blank(7.2, 3)
    ax = drawing.subplots()
    published = PAPER | PATHS
    styles = line_styles(EVALUATORS)
    places = np.arange(len(published))
    numbers: Numbers = []
    for n, evaluator in enumerate(EVALUATORS):
        x = places + (n - 1) * 0.27
        paper = [values[n] for values in published.values()]
        for table in mechanisms:
            values = values_of(table, evaluator)
            ours = [values[case] for case in published]
            if table is mechanisms[0]:
                ax.bar(x, ours, 0.25, color=styles[evaluator]["color"], alpha=0.7, label=evaluator)
            else:
                ax.plot(x, ours, ".", color="black", ms=4)
            panel = f"init_seed {table.run.init_seed}, {evaluator}"
            numbers += [(panel, case, 0.0, y) for case, y in zip(published, ours, strict=True)]
        crosses = "the paper" if n == 0 else None
        ax.plot(x, paper, "x", color="grey", mew=2, label=crosses)
        numbers += [
            (f"paper, {evaluator}", case, 0.0, y) for case, y in zip(published, paper, strict=True)
        ]
    ax.set_xticks(places, [case.replace(" recomputed", "\nrecomputed") for case in published])
    ax.set(ylabel="in-context accuracy", ylim=(0, 1.05))
    drawing.legend(frameon=False, loc="outside right upper")
    findings = [
        compared(
            evaluator,
            values_of(mechanisms[0], evaluator),
            {case: values[n] for case, values in published.items()},
        )
        for n, evaluator in enumerate(EVALUATORS)
    ]
    return FigureResult(
        drawing, numbers, {"runs": [table.run.record() for table in mechanisms]}, findings
    )


def values_of(table: KeptTable, evaluator: str) -> dict[str, float]:
    """In-context accuracy by case."""
    own = table.select(evaluator=evaluator)
    cases = {case: "composition" for case in PAPER} | {case: "paths" for case in PATHS}
    return {case: own.select(measure=measure, what=case).value() for case, measure in cases.items()}


def _ciwl(case: str, holds: Callable[[float], bool]) -> Callable[[list[KeptTable]], list[Reading]]:
    """CIWL accuracy in a case."""

    def measure(mechanisms: list[KeptTable]) -> list[Reading]:
        values = [(table.run, values_of(table, "ciwl")[case]) for table in mechanisms]
        return [Reading.of(run, holds(value), value) for run, value in values]

    return measure


def _published(case: str) -> Published:
    value = (PAPER | PATHS)[case][EVALUATORS.index("ciwl")]
    return Published.of(value)


CLAIMS = tuple(
    Claim(text, _ciwl(case, holds), _published(case), contradiction=f"CIWL accuracy is {limit}")
    for case, text, holds, limit in (
        (
            "kept",
            "the first layer works by queries, keys and values alone",
            lambda x: x > 0.9,
            "0.9 or less",
        ),
        (
            "only queries recomputed",
            "CIWL with only queries recomputed: little changes",
            lambda x: x > 0.9,
            "0.9 or less",
        ),
        (
            "only keys recomputed",
            "CIWL with only keys recomputed: much is lost",
            lambda x: x < 0.75,
            "0.75 or more",
        ),
        (
            "only values recomputed",
            "CIWL with only values recomputed: much is lost",
            lambda x: x < 0.75,
            "0.75 or more",
        ),
        (
            "heads alone",
            "CIWL is what the heads of the second layer write",
            lambda x: x > 0.9,
            "0.9 or less",
        ),
        (
            "no heads",
            "the query alone tells something of its label",
            lambda x: x > 0.55,
            "0.55 or less",
        ),
    )
)

FIGURE = Figure(
    "coopetition",
    "composition",
    "section 4",
    "what the second layer reads of the first: queries, keys and values recomputed",
    draw,
    needs=(Tables("mechanisms", "coopetition/main"),),
    claims=CLAIMS,
)
