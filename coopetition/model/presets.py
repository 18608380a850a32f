"""The models with a name: the published one, its variants, and what else has been asked for."""

import inspect
from collections.abc import Callable
from dataclasses import replace

from coopetition.model.graph import Cost, Mechanism, Model
from coopetition.tools.checks import check_number
from coopetition.tools.errors import UsageError

ICL, CIWL, IWL, COMPETITION = "icl", "ciwl", "iwl", "competition"


def two_strategies(*, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """ICL builds a(x)b(x)c and CIWL builds d(x)b(x)c: b and c are shared, a and d compete.

    The defaults are the published transient case; mu1 = 0 is the persistent one.
    """
    _check_named(alpha=alpha, mu1=mu1, mu2=mu2)
    return Model(
        factors=("a", "b", "c", "d"),
        mechanisms=(Mechanism(ICL, ("a", "b", "c"), mu1), Mechanism(CIWL, ("d", "b", "c"), mu2)),
        costs=(Cost(COMPETITION, ("a", "d"), alpha),),
    )


def is_two_strategies(model: Model) -> bool:
    """Has the model the factors, mechanisms and costs of `two_strategies`, whatever its numbers?"""
    published = two_strategies()
    mine, theirs = ([(p.name, p.factors) for p in each.parts] for each in (model, published))
    return model.factors == published.factors and mine == theirs


def no_competition(*, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """`two_strategies` without the cost: what sharing alone does."""
    _check_named(mu1=mu1, mu2=mu2)
    return replace(two_strategies(mu1=mu1, mu2=mu2), costs=())


def no_sharing(*, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.0) -> Model:
    """`two_strategies` with b and c split in two, f and g for CIWL: what rivalry alone does."""
    shared = two_strategies(alpha=alpha, mu1=mu1, mu2=mu2)
    ciwl = replace(shared.mechanism(CIWL), factors=("d", "f", "g"))
    return replace(
        shared,
        factors=("a", "b", "c", "d", "f", "g"),
        mechanisms=(shared.mechanism(ICL), ciwl),
        rates=(),
    )


def induction_head(*, mu1: float = 0.0) -> Model:
    """ICL alone, a(x)b(x)c: the three-factor model of the induction-head paper (2024)."""
    _check_named(mu1=mu1)
    return Model(("a", "b", "c"), (Mechanism(ICL, ("a", "b", "c"), mu1),))


def three_strategies(
    *, alpha: float = 0.1, mu1: float = 0.1, mu2: float = 0.01, mu3: float = 0.0
) -> Model:
    """ICL, CIWL and IWL: e(x)c answers from the weights alone, without the context that b reads.

    Each pair competes with strength alpha.  Ours, not published: a conjecture about what follows
    CIWL.
    """
    _check_named(alpha=alpha, mu1=mu1, mu2=mu2, mu3=mu3)
    return Model(
        factors=("a", "b", "c", "d", "e"),
        mechanisms=(
            Mechanism(ICL, ("a", "b", "c"), mu1),
            Mechanism(CIWL, ("d", "b", "c"), mu2),
            Mechanism(IWL, ("e", "c"), mu3),
        ),
        costs=(
            Cost("icl_ciwl", ("a", "d"), alpha),
            Cost("icl_iwl", ("a", "e"), alpha),
            Cost("ciwl_iwl", ("d", "e"), alpha),
        ),
    )


def _check_named(**parameters: float) -> None:
    for name, value in parameters.items():
        check_number(name, value)


MODELS: dict[str, Callable[..., Model]] = {
    preset.__name__: preset
    for preset in (two_strategies, no_competition, no_sharing, induction_head, three_strategies)
}

# Lengths of the factors; the first four are published.
DIMS = {"a": 20, "b": 20, "c": 20, "d": 160, "e": 160, "f": 20, "g": 20}
PUBLISHED_DIMS = {name: DIMS[name] for name in "abcd"}


def named_model(name: str, **parameters: float) -> Model:
    """The model of `MODELS` of this name; a name or parameter it does not know: `UsageError`."""
    if name not in MODELS:
        raise UsageError(f"model {name!r} is unknown; choose one of {', '.join(MODELS)}")
    known = inspect.signature(MODELS[name]).parameters
    for parameter in parameters:
        if parameter not in known:
            raise UsageError(f"{name} has no {parameter}; its parameters are {', '.join(known)}")
    return MODELS[name](**parameters)


def named_dims(model: Model) -> dict[str, int]:
    """Lengths of a named model's factors: the published ones, and like ones for what it adds."""
    unknown = [factor for factor in model.factors if factor not in DIMS]
    if unknown:
        raise UsageError(
            f"the lengths of the factors {unknown} are not known; give all of them, as "
            f"dims={dict.fromkeys(model.factors, 20)}"
        )
    return {factor: DIMS[factor] for factor in model.factors}
