"""Figure 16: L2 on one module, with a jointly trained ResNet."""

from paper_figures.core.claims import Claim
from paper_figures.core.figure import Figure, FigureResult
from paper_figures.core.runs import FigureRun, Runs
from paper_figures.transience.panels import draw_panels
from paper_figures.transience.rules import judge_kept, judge_transient

MODULES = {"mlp": "the MLPs", "attention": "the attention layers", "encoder": "the ResNet"}
KEEPS = {"mlp": True, "attention": False, "encoder": True}


def draw(control: list[FigureRun], *found: list[FigureRun]) -> FigureResult:
    """Draw ICL and IWL without L2 and with L2 on each module."""
    groups = {f"L2 on {name}": runs for name, runs in zip(MODULES.values(), found, strict=True)}
    return draw_panels({"no L2": control} | groups)


CLAIMS = (
    Claim(
        "without L2, ICL is transient with a jointly trained ResNet",
        lambda control, *found: judge_transient(control),
        contradiction="in a run as long as the default run, ICL never rises, or is kept",
    ),
    *(
        Claim(
            f"L2 on {MODULES[name]} alone {'keeps ICL' if keeps else 'leaves ICL transient'}",
            lambda control, *found, k=k, judge=judge_kept if keeps else judge_transient: judge(
                found[k], control
            ),
            contradiction="ICL never rises, or falls to half its peak"
            if keeps
            else "ICL never rises, or is kept for three half-decays",
        )
        for k, (name, keeps) in enumerate(KEEPS.items())
    ),
)

FIGURE = Figure(
    __name__,
    "L2 on one module",
    draw,
    (
        Runs("transience/resnet"),
        *(Runs(f"transience/l2_{name}", optional=True) for name in MODULES),
    ),
    CLAIMS,
)
