"""The table of section 4: which parts of the first layer's output the second layer reads."""

from collections.abc import Callable
from functools import partial

import numpy as np

from coopetition.plot.style import line_styles
from paper_figures.core.claims import Claim, Published, Reading
from paper_figures.core.figure import Figure, FigureResult, Numbers, blank
from paper_figures.core.runs import KeptTable, Runs

MEASURED = ("train", "ciwl", "flip")
PAPER = {  # by measure and case, as printed by the authors' notebook, after 64 million sequences
    "composition": {
        "default": (0.9862, 0.9874, 0.0146),
        "kept": (0.9852, 0.9848, 0.0178),
        "only queries recomputed": (0.9574, 0.954, 0.046),
        "only keys recomputed": (0.5706, 0.5748, 0.4466),
        "only values recomputed": (0.5928, 0.5864, 0.400),
    },
    "paths": {
        "no heads": (0.627, 0.624, 0.375),
        "heads alone": (0.967, 0.967, 0.034),
    },
}
CASES = {case: values for cases in PAPER.values() for case, values in cases.items()}


def draw(mechanisms: list[KeptTable]) -> FigureResult:
    """Draw bars of the first seed's run; points of further seeds, crosses of the paper."""
    drawing = blank(7.2, 3)
    ax = drawing.subplots()
    styles = line_styles(MEASURED)
    numbers: Numbers = []
    for n, evaluator in enumerate(MEASURED):
        x = np.arange(len(CASES)) + (n - 1) * 0.27
        paper = {case: values[n] for case, values in CASES.items()}
        for k, table in enumerate(mechanisms):
            ours = accuracies(table, evaluator)
            if k == 0:
                colour = styles[evaluator]["color"]
                ax.bar(x, [*ours.values()], 0.25, color=colour, alpha=0.7, label=evaluator)
            else:
                ax.plot(x, [*ours.values()], ".", color="black", ms=4)
            panel = f"init_seed {table.init_seed}, {evaluator}"
            numbers += [(panel, case, 0.0, y) for case, y in ours.items()]
        crosses = "the paper" if n == 0 else None
        ax.plot(x, [*paper.values()], "x", color="grey", mew=2, label=crosses)
        numbers += [(f"paper, {evaluator}", case, 0.0, y) for case, y in paper.items()]
    labels = [case.replace(" recomputed", "\nrecomputed") for case in CASES]
    ax.set_xticks(range(len(CASES)), labels)
    ax.set(ylabel="in-context accuracy", ylim=(0, 1.05))
    drawing.legend(frameon=False, loc="outside right upper")
    record = {"runs": [table.run.record() for table in mechanisms]}
    return FigureResult(drawing, numbers, record)


def accuracies(table: KeptTable, evaluator: str) -> dict[str, float]:
    """Return in-context accuracy by case."""
    own = table.select(evaluator=evaluator)
    return {
        case: own.select(measure=measure, what=case).value()
        for measure, cases in PAPER.items()
        for case in cases
    }


def _ciwl_readings(
    mechanisms: list[KeptTable], case: str, holds: Callable[[float], bool]
) -> list[Reading]:
    """Return whether CIWL accuracy in a case is as claimed, and its value."""
    values = [(table.run, accuracies(table, "ciwl")[case]) for table in mechanisms]
    return [Reading.of(run, holds(value), value) for run, value in values]


CLAIMS = tuple(
    Claim(
        text,
        partial(_ciwl_readings, case=case, holds=holds),
        Published.of(CASES[case][1]),
        contradiction=f"CIWL accuracy is {otherwise}",
    )
    for case, text, holds, otherwise in (
        ("kept", "the first layer serves CIWL only through the second's queries, keys and values",
         lambda x: x > 0.9, "0.9 or less"),
        ("only queries recomputed", "with only queries recomputed, CIWL accuracy hardly changes",
         lambda x: x > 0.9, "0.9 or less"),
        ("only keys recomputed", "with only keys recomputed, CIWL accuracy falls",
         lambda x: x < 0.75, "0.75 or more"),
        ("only values recomputed", "with only values recomputed, CIWL accuracy falls",
         lambda x: x < 0.75, "0.75 or more"),
        ("heads alone", "the heads of the second layer alone suffice for CIWL",
         lambda x: x > 0.9, "0.9 or less"),
        ("no heads", "the query alone, without any heads, gives some CIWL accuracy",
         lambda x: x > 0.55, "0.55 or less"),
    )
)  # fmt: skip

FIGURE = Figure(
    __name__,
    "what the second layer reads of the first: queries, keys and values recomputed",
    draw,
    (Runs("coopetition/main", "mechanisms"),),
    CLAIMS,
    "section 4",
)
