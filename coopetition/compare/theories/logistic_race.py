"""Two logistic growths, of which the later one takes from the earlier: no mechanism at all.

    x = g((t - t1) / w1) (1 - loss g((t - t2) / w2)),     y = g((t - t2) / w2),

with g the logistic function.  ICL's error is 1 - x, CIWL's 1 - y, and training fails where both do.
What any story of "one rises, then the other" reaches.
"""

import sympy as sp

from coopetition.compare.theory import TIME, ClosedForm, Parameter, rising
from coopetition.model.presets import CIWL, ICL

PARAMETERS = (
    Parameter(
        name="icl_at", what="when ICL is half learnt", lower=-0.5, upper=1.5, logarithmic=False,
        per_time=-1,
    ),
    Parameter(name="icl_width", what="how long that takes", lower=1e-3, upper=2.0, per_time=-1),
    Parameter(
        name="ciwl_at", what="when CIWL is half learnt", lower=-0.5, upper=3.0, logarithmic=False,
        per_time=-1,
    ),
    Parameter(name="ciwl_width", what="how long that takes", lower=1e-3, upper=2.0, per_time=-1),
    Parameter(
        name="loss", what="the share of ICL that CIWL takes", lower=0.0, upper=1.0,
        logarithmic=False,
    ),
)  # fmt: skip
icl_at, icl_width, ciwl_at, ciwl_width, loss = SYMBOLS = sp.symbols(
    [each.name for each in PARAMETERS], real=True
)
ciwl = rising((TIME - ciwl_at) / ciwl_width)
icl = rising((TIME - icl_at) / icl_width) * (1 - loss * ciwl)

THEORY = ClosedForm(
    name="logistic_race",
    title="two logistic growths, the later takes from the earlier",
    source="none: what any such story reaches",
    parameters=PARAMETERS,
    symbols=tuple(SYMBOLS),
    outputs={
        "train": (1 - icl) * (1 - ciwl),
        ICL: 1 - icl,
        CIWL: 1 - ciwl,
        "preference": icl - ciwl,
    },
)
