"""Settings of the explorer: the numbers behind its sliders, and presets that show an effect."""

from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

from coopetition.dynamics.solve import solve
from coopetition.model.graph import Model
from coopetition.model.initial_state import InitialState, canonical_draw, published_draw
from coopetition.model.presets import PUBLISHED_DIMS, two_strategies
from coopetition.model.reduced import Problem

# a run ends as `solve` ends it
T1, THRESHOLD = (signature(solve).parameters[name].default for name in ("t1", "threshold"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A run of the published model by gradient descent.

    draw : the published draw whose targets are used
    overlap, orthogonal : the initial state by factor
    step : step size
    """

    draw: int
    overlap: dict[str, float]
    orthogonal: dict[str, float]
    alpha: float = 0.1
    mu1: float = 0.1
    mu2: float = 0.0
    step: float = 1.0

    @property
    def model(self) -> Model:
        """The model of the run."""
        return two_strategies(alpha=self.alpha, mu1=self.mu1, mu2=self.mu2)

    @property
    def initial_state(self) -> InitialState:
        """The initial state of the run."""
        norms = dict(published_problem(self.draw).norms)
        return canonical_draw(PUBLISHED_DIMS, norms, self.overlap, self.orthogonal)


def published_problem(draw: int) -> Problem:
    """Return the published model with a published draw."""
    return Problem(two_strategies(), published_draw(draw))


def published_setting(draw: int, **changes: Any) -> Setting:
    """Return the published setting of a draw, with some changes."""
    problem = published_problem(draw)
    start, factors = problem.start, problem.model.factors
    return replace(
        Setting(
            draw=draw,
            overlap=dict(zip(factors, start.overlap, strict=True)),
            orthogonal=dict(zip(factors, start.orthogonal, strict=True)),
        ),
        **changes,
    )


@dataclass(frozen=True, slots=True)
class Preset:
    """A setting with a name, and a sentence that says what it shows and why."""

    title: str
    text: str
    setting: Setting


def presets() -> dict[str, Preset]:
    """Return the presets of the explorer by name; the first is the default view."""
    helped = published_setting(6)
    return {
        "published": Preset(
            "Published seed 7",
            "ICL's error cannot fall below mu1. CIWL's can fall to 0, so CIWL replaces ICL.",
            published_setting(7),
        ),
        "icl_persists": Preset(
            "ICL persists",
            "With mu1 = 0, ICL alone brings the loss to 0, so nothing drives CIWL to replace it.",
            published_setting(7, mu1=0.0),
        ),
        "no_competition": Preset(
            "No competition",
            "With alpha = 0, the factors a and d may be large together, so ICL stays.",
            published_setting(7, alpha=0.0),
        ),
        "ciwl_helps_icl": Preset(
            "CIWL helps ICL",
            "Here d starts along its target, without an orthogonal part (seed 6). CIWL builds b "
            "and c early, and ICL uses them.",
            replace(helped, orthogonal=helped.orthogonal | {"d": 0.0}),
        ),
    }


@dataclass(frozen=True, slots=True)
class Slider:
    """A slider, or one for each factor.

    first, last : its ends; with `log`, equal distances are equal ratios
    zero : whether the left end of a logarithmic slider is 0
    limits : the values that a link may give
    """

    title: str
    text: str
    first: float
    last: float
    limits: tuple[float, float]
    log: bool = False
    zero: bool = False


def _from_zero(title: str, text: str) -> Slider:
    """Return the slider of a parameter of the model, which can be 0."""
    return Slider(title, text, 1e-3, 1.0, (0.0, 100.0), log=True, zero=True)


SLIDERS = {
    "alpha": _from_zero(
        "Competition alpha",
        "Cost of a and d being large together. At 0, the strategies do not compete.",
    ),
    "mu1": _from_zero(
        "Irreducible error of ICL, mu1",
        "The error that ICL cannot remove. Above 0, CIWL is better in the end.",
    ),
    "mu2": _from_zero(
        "Irreducible error of CIWL, mu2",
        "The error that CIWL cannot remove. It is 0 in the published runs.",
    ),
    "step": Slider(
        "Step size",
        "Step of gradient descent. Small steps follow the gradient flow; large ones diverge.",
        0.25,
        16.0,
        (0.25, 1000.0),
        log=True,
    ),
    "u": Slider(
        "Initial overlap u",
        "How much of its target a factor holds at the start; negative: it points away.",
        -4.0,
        4.0,
        (-100.0, 100.0),
    ),
    "w": Slider(
        "Initial orthogonal part w",
        "Length of what a factor holds beside its target. Training shrinks it.",
        0.0,
        16.0,
        (0.0, 100.0),
    ),
}
NUMBERS = ("alpha", "mu1", "mu2", "step")  # the other sliders are those of the initial state
