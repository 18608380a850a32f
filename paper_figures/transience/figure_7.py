"""Figure 7: token embeddings of a language model in place of images.

At scale cpu they are those of all-MiniLM-L6-v2, a substitute for LLaMA's: fewer of its clusters
hold enough tokens, so that there are 1,200 classes of 10 tokens and 1,600 of 5.
"""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import draw_panels
from paper_figures.transience.rules import icl_events, judge_transient

LAYOUTS = {10: "10 tokens of a class", 5: "5 tokens of a class"}


def draw(*found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL for each number of tokens of a class."""
    return draw_panels(dict(zip(LAYOUTS.values(), found, strict=True)))


def runs_with_icl(*found: list[FigureRun]) -> list[FigureRun]:
    """Return the runs in which ICL rose."""
    runs = [run for own in found for run in own]
    return [run for run in runs if icl_events(run).fate != "never rose"]


CLAIMS = (
    Claim(
        "where ICL emerges on token embeddings, it is transient",
        lambda *found: judge_transient(runs_with_icl(*found)),
        contradiction="in half of these runs or more it is above half its peak at the end",
    ),
)

FIGURE = Figure(
    __name__,
    "token embeddings of a language model",
    draw,
    tuple(Runs(f"transience_tokens/exemplars_{n}_clusters_4", optional=n != 10) for n in LAYOUTS),
    CLAIMS,
)
