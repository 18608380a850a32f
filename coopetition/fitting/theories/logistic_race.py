"""Two logistic growths, of which the later one takes from the earlier, without any mechanism.

    x = g((t - t1) / w1) (1 - loss g((t - t2) / w2)),     y = g((t - t2) / w2),

with g the logistic function.  ICL's error is 1 - x, CIWL's 1 - y, and training fails where both do.
It shows how well any account of "one rises, then the other" can fit.
"""

import sympy as sp

from coopetition.fitting.theory import TIME, ClosedForm, Parameter, logistic
from coopetition.model.presets import CIWL, ICL

PARAMETERS = (
    Parameter(name="icl_at", description="time at which ICL is half learnt", lower=-0.5, upper=1.5,
              logarithmic=False, per_time=-1),
    Parameter(name="icl_width", description="duration of that", lower=1e-3, upper=2.0, per_time=-1),
    Parameter(name="ciwl_at", description="time at which CIWL is half learnt", lower=-0.5,
              upper=3.0, logarithmic=False, per_time=-1),
    Parameter(name="ciwl_width", description="duration of that", lower=1e-3, upper=2.0,
              per_time=-1),
    Parameter(name="loss", description="share of ICL that CIWL takes", lower=0.0, upper=1.0,
              logarithmic=False),
)  # fmt: skip
icl_at, icl_width, ciwl_at, ciwl_width, loss = SYMBOLS = sp.symbols(
    [each.name for each in PARAMETERS], real=True
)
ciwl = logistic((TIME - ciwl_at) / ciwl_width)
icl = logistic((TIME - icl_at) / icl_width) * (1 - loss * ciwl)

THEORY = ClosedForm(
    name="logistic_race",
    title="two logistic growths, the later takes from the earlier",
    source="none: a baseline for such accounts",
    parameters=PARAMETERS,
    symbols=tuple(SYMBOLS),
    outputs={
        "train": (1 - icl) * (1 - ciwl),
        ICL: 1 - icl,
        CIWL: 1 - ciwl,
        "preference": icl - ciwl,
    },
)
