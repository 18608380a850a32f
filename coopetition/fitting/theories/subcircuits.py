"""Independent subcircuits that race, each slowed only by what the other has already solved.

After Nguyen and Reddy 2024: a margin z from copying (ICL) and a margin v from memory, of which the
logit is the sum, so that both learn at the rate of what is left, r = 1 / (1 + e^(z + v)).  ICL is
the product of an attention that finds the right label, s(beta) = tanh(beta / 2), and a readout w:
z = w s.  Regularisation removes ICL once memory leaves nothing to learn:

    beta' = pace r w s'(beta) - pace decay beta,   w' = pace r s(beta) - pace decay w,
    v'    = pace speed r.

Errors are the losses of one margin alone, log(1 + e^-z) / log 2 and log(1 + e^-v) / log 2, and of
both.  The published model is a one-layer network with many contexts.  This theory keeps its two
products and their independence; `speed` stands for what slows memory with more classes.

In this theory ICL fades only by `decay`, which stands for weight decay.  The runs whose fits are
kept (docs/comparison.md) are trained without weight decay, so a fitted `decay` above 0 describes
their fade but cannot explain it.  `subcircuits_no_decay` has none: ICL rises, and stays.
"""

from dataclasses import replace

import sympy as sp

from coopetition.fitting.sensitivities import Flow
from coopetition.fitting.theory import Parameter
from coopetition.model.presets import CIWL, ICL

PARAMETERS = (
    Parameter(name="beta", description="attention at the start", lower=1e-3, upper=3.0),
    Parameter(name="readout", description="readout at the start", lower=1e-3, upper=3.0),
    Parameter(name="memory", description="margin of memory at the start", lower=-2.0, upper=2.0,
              logarithmic=False),
    Parameter(name="speed", description="speed of memory relative to ICL", lower=1e-3, upper=30.0),
    Parameter(name="decay", description="regularisation of ICL", lower=1e-5, upper=1.0),
    Parameter(name="pace", description="learning in a unit of training", lower=1.0, upper=2000.0,
              per_time=1),
)  # fmt: skip
beta0, readout0, memory0, speed, decay, pace = SYMBOLS = sp.symbols(
    [each.name for each in PARAMETERS], real=True
)
beta, readout, memory = STATE = sp.symbols("x:3", real=True)
attention = sp.tanh(beta / 2)
margin = readout * attention
left = (1 - sp.tanh((margin + memory) / 2)) / 2


def loss(z: sp.Expr) -> sp.Expr:
    """Return the loss of a margin, 1 at 0, in a form that does not overflow."""
    return (sp.log(1 + sp.exp(-sp.Abs(z))) + (sp.Abs(z) - z) / 2) / sp.log(2)


THEORY = Flow(
    name="subcircuits",
    title="independent subcircuits of copying and memory, with decay",
    source="after Nguyen and Reddy 2024, arXiv 2412.00104",
    parameters=PARAMETERS,
    state=STATE,
    symbols=tuple(SYMBOLS),
    start=(beta0, readout0, memory0),
    velocity=(
        pace * (left * readout * (1 - attention**2) / 2 - decay * beta),
        pace * (left * attention - decay * readout),
        pace * speed * left,
    ),
    outputs={
        "train": loss(margin + memory),
        ICL: loss(margin),
        CIWL: loss(memory),
        "preference": margin - memory,
    },
    steps=1000,
)

NO_DECAY = replace(
    THEORY,
    name="subcircuits_no_decay",
    title="independent subcircuits of copying and memory",
    parameters=tuple(each for each in PARAMETERS if each.name != decay.name),
    symbols=tuple(each for each in SYMBOLS if each != decay),
    velocity=tuple(each.subs(decay, 0) for each in THEORY.velocity),
)
