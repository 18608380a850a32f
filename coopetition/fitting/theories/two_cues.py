"""Two noisy cues in a shared readout, as a theory with formulas: ICL fades as CIWL's errors remain.

As in `coopetition.model.two_cues`, the evidence for the correct label is x s + y r, with cues
s ~ N(1, sigma^2) of ICL and r ~ N(1, nu^2) of CIWL and strengths x = a b^2, y = d b^2; here the
label is read out with normal noise of variance 1, and the loss pulls on a sequence by the
probability of its error, q = Phi(-(x s + y r)), not by the logistic one.  Every mean is a formula:
with n^2 = 1 + sigma^2 x^2 + nu^2 y^2 and g = (x + y) / n,

    E[q] = Phi(-g),    h = E[s q] = Phi(-g) - sigma^2 x phi(g) / n,    k = E[r q] likewise,
    a' = pace b^2 h / M,    b' = pace b (a h + d k) / M,    d' = pace kappa b^2 k / M.

M = sqrt(E[q]), about the root mean square of q, stands for the division of Adam.  b and c start
equal, and stay so.  Errors are those of the readout (signal detection): Phi(-(x + y) / n) in
training, Phi(-x / n) of ICL and Phi(-y / n) of CIWL.

ICL fades although no cost and no irreducible error takes it away: when CIWL is good, the sequences
that still fail are those whose context misleads (s < 0), so h < 0.
"""

import sympy as sp

from coopetition.fitting.sensitivities import Flow
from coopetition.fitting.theory import Parameter
from coopetition.model.presets import CIWL, ICL

PARAMETERS = (
    Parameter(name="sigma", description="noise of ICL's cue", lower=0.05, upper=3.0),
    Parameter(name="nu", description="noise of CIWL's cue", lower=0.05, upper=3.0),
    Parameter(name="a", description="ICL's own factor at the start", lower=-1.0, upper=2.0,
              logarithmic=False),
    Parameter(name="b", description="shared factors at the start", lower=1e-3, upper=2.0),
    Parameter(name="d", description="CIWL's own factor at the start", lower=1e-3, upper=2.0),
    Parameter(name="kappa", description="rate of d over that of a", lower=1e-4, upper=3.0),
    Parameter(name="pace", description="flow time in a unit of training", lower=1.0, upper=1000.0,
              per_time=1),
)  # fmt: skip
sigma, nu, a0, b0, d0, kappa, pace = SYMBOLS = sp.symbols(
    [each.name for each in PARAMETERS], real=True
)
a, b, d = STATE = sp.symbols("x:3", real=True)
x, y = a * b**2, d * b**2
noise = sp.sqrt(1 + (sigma * x) ** 2 + (nu * y) ** 2)


def error(signal: sp.Expr) -> sp.Expr:
    """Return the probability of an error, Phi(-signal / n)."""
    return sp.erfc(signal / noise / sp.sqrt(2)) / 2


failing = error(x + y)
density = sp.exp(-(((x + y) / noise) ** 2) / 2) / sp.sqrt(2 * sp.pi) / noise
of_context, of_memory = failing - sigma**2 * x * density, failing - nu**2 * y * density
speed = pace / sp.sqrt(failing)

THEORY = Flow(
    name="two_cues",
    title="two noisy cues, read out together",
    source="ours: cross-entropy on noisy cues in Adam's metric",
    parameters=PARAMETERS,
    unlearnt=0.5,
    has_readout=True,
    state=STATE,
    symbols=tuple(SYMBOLS),
    start=(a0, b0, d0),
    velocity=(
        speed * b**2 * of_context,
        speed * b * (a * of_context + d * of_memory),
        speed * kappa * b**2 * of_memory,
    ),
    outputs={"train": failing, ICL: error(x), CIWL: error(y), "preference": x - y},
    steps=500,
)
