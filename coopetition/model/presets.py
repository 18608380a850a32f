"""The models with a name: the published one, its variants, and relatives of it."""

import inspect
from collections.abc import Callable
from dataclasses import replace

from coopetition.model.graph import Cost, Mechanism, Model
from coopetition.tools.errors import UsageError

ICL, CIWL, IWL, COMPETITION = "icl", "ciwl", "iwl", "competition"


def two_strategies(*, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """Return the published model: ICL builds a(x)b(x)c, CIWL builds d(x)b(x)c, a and d compete.

    The defaults are the published transient case; mu1 = 0 is the persistent one.
    """
    model = Model(
        factors=("a", "b", "c", "d"),
        mechanisms=(Mechanism(ICL, ("a", "b", "c"), 0.0), Mechanism(CIWL, ("d", "b", "c"), 0.0)),
        costs=(Cost(COMPETITION, ("a", "d"), 0.0),),
    )
    return model.replace(alpha=alpha, mu1=mu1, mu2=mu2)


def is_two_strategies(model: Model) -> bool:
    """Return whether a model has the factors, mechanisms and costs of `two_strategies`."""
    own, published = (
        (each.factors, [(part.name, part.factors) for part in each.parts])
        for each in (model, two_strategies())
    )
    return own == published


def no_competition(*, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """Return `two_strategies` without the cost: the effect of sharing alone."""
    return replace(two_strategies(mu1=mu1, mu2=mu2), costs=())


def no_sharing(*, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """Return `two_strategies` with b and c split in two, f and g for CIWL: competition alone."""
    shared = two_strategies(alpha=alpha, mu1=mu1, mu2=mu2)
    ciwl = replace(shared.mechanism(CIWL), factors=("d", "f", "g"))
    return replace(
        shared,
        factors=("a", "b", "c", "d", "f", "g"),
        mechanisms=(shared.mechanism(ICL), ciwl),
        rates=(),
    )


def induction_head(*, mu1: float = 0.0) -> Model:
    """Return ICL alone, a(x)b(x)c: the three-factor model of the induction-head paper (2024)."""
    return Model(("a", "b", "c"), (Mechanism(ICL, ("a", "b", "c"), 0.0),)).replace(mu1=mu1)


def three_strategies(
    *, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.01, mu3: float = 0.0
) -> Model:
    """Return ICL, CIWL and IWL: e(x)c answers from the weights alone, without the context.

    Each pair competes with strength alpha.  This model is our own: a conjecture about what follows
    CIWL.
    """
    model = Model(
        factors=("a", "b", "c", "d", "e"),
        mechanisms=(
            Mechanism(ICL, ("a", "b", "c"), 0.0),
            Mechanism(CIWL, ("d", "b", "c"), 0.0),
            Mechanism(IWL, ("e", "c"), 0.0),
        ),
        costs=(
            Cost("icl_ciwl", ("a", "d"), 0.0),
            Cost("icl_iwl", ("a", "e"), 0.0),
            Cost("ciwl_iwl", ("d", "e"), 0.0),
        ),
    )
    return model.replace(alpha=alpha, mu1=mu1, mu2=mu2, mu3=mu3)


MODELS: dict[str, Callable[..., Model]] = {
    preset.__name__: preset
    for preset in (two_strategies, no_competition, no_sharing, induction_head, three_strategies)
}

# Lengths of the factors; the first four are published.
DIMS = {"a": 20, "b": 20, "c": 20, "d": 160, "e": 160, "f": 20, "g": 20}
PUBLISHED_DIMS = {name: DIMS[name] for name in "abcd"}
PUBLISHED_SEEDS = range(12)


def named_model(name: str, **parameters: float) -> Model:
    """Return the preset of this name; an unknown name or parameter raises `UsageError`."""
    if name not in MODELS:
        raise UsageError(f"model {name!r} is unknown; choose one of {', '.join(MODELS)}")
    known = inspect.signature(MODELS[name]).parameters
    for parameter in parameters:
        if parameter not in known:
            raise UsageError(f"{name} has no {parameter}; its parameters are {', '.join(known)}")
    return MODELS[name](**parameters)


def named_dims(model: Model) -> dict[str, int]:
    """Return the lengths of a preset's factors: published ones, and similar ones for the others."""
    unknown = [factor for factor in model.factors if factor not in DIMS]
    if unknown:
        raise UsageError(
            f"the lengths of the factors {unknown} are not known; give all of them, as "
            f"dims={dict.fromkeys(model.factors, 20)}"
        )
    return {factor: DIMS[factor] for factor in model.factors}
