"""What is proved for the published model alone: fates, Hessians, late times, plateau."""

import math
from collections.abc import Iterator

import sympy as sp

from coopetition.model.presets import CIWL, COMPETITION, ICL
from coopetition.theory.language import CHARACTERISTIC, EIGENVALUE, SIZE, TIME, Language
from coopetition.theory.statements import Statement


def two_strategies_statements(language: Language) -> Iterator[Statement]:
    """Every statement of `two_strategies`, in the order of the document."""
    for part in (_fates, _bounds, _hessians, _toleration, _plateau, _origin):
        yield from part(language)


def _fates(lang: Language) -> Iterator[Statement]:
    s, cost = lang.symbolic, lang.loss[COMPETITION]
    left = sum(
        c * x * lang.slope(x)
        for f, c in {"a": 1, "d": 1, "b": -1}.items()
        for x in (s.u[f], s.w[f])
    )
    says = "with all slopes zero the left side is zero, and so is K"
    yield Statement("no_coexistence", says, left, 4 * s.strength[COMPETITION] * cost, lang)
    for id, own, rival, f, other in (
        ("ciwl_always_grows", CIWL, ICL, "d", "a"),
        ("icl_grows_while_ciwl_errs", ICL, CIWL, "a", "d"),
    ):
        right = -_error(lang, rival) * s.problem.targets[own] * s.u["b"] * s.u["c"]
        says = f"the slope, whatever {other} is"
        absent = {s.u[f]: sp.Integer(0)}
        yield Statement(id, says, lang.slope(s.u[f]), right / s.problem.sizes[own], lang, absent)


def _error(lang: Language, name: str, unlearnt: bool = False) -> sp.Expr:
    """The prefactor of the other mechanism."""
    return (lang.unlearnt if unlearnt else lang.loss)[name] + lang.symbolic.offset[name]


def _bounds(lang: Language) -> Iterator[Statement]:
    s = lang.symbolic
    u, w, r, size, target = s.u, s.w, lang.square, s.problem.sizes, s.problem.targets
    pull = 4 * s.strength[COMPETITION] * lang.loss[COMPETITION]
    for own, rival, f in ((ICL, CIWL, "a"), (CIWL, ICL, "d")):
        excess = r[f] * r["b"] * r["c"] - target[own] * u[f] * u["b"] * u["c"]
        right = s.rate[f] * (-2 * _error(lang, rival) * excess / size[own] - pull)
        left, says = sp.Derivative(r[f], TIME), "how the square of a length changes"
        yield Statement(f"growth_{f}", says, left, right, lang)
    miss = target[CIWL] - u["b"] * u["c"] * u["d"]
    excess = (
        w["b"] ** 2 * r["c"] * r["d"]
        + u["b"] ** 2 * w["c"] ** 2 * r["d"]
        + u["b"] ** 2 * u["c"] ** 2 * w["d"] ** 2
    )
    says = "CIWL's loss, as a sum of squares"
    right = (miss**2 + excess) / (2 * size[CIWL])
    yield Statement("miss_squares", says, lang.loss[CIWL], right, lang)
    beside = r["b"] * r["c"] - u["b"] ** 2 * u["c"] ** 2
    right = _error(lang, ICL) * (beside * u["d"] - miss * u["b"] * u["c"]) / size[CIWL]
    right += s.strength[COMPETITION] * r["a"] * u["d"] / size[COMPETITION]
    yield Statement("miss_slope", "the slope, by the same parts", lang.slope(u["d"]), right, lang)


def _hessians(lang: Language) -> Iterator[Statement]:
    s = lang.symbolic
    zero = sp.Integer(0)
    for own, rival, f, absent in ((CIWL, ICL, "d", "a"), (ICL, CIWL, "a", "d")):
        b, c, x = s.u["b"], s.u["c"], s.u[f]
        n, stiff = s.length, _error(lang, rival, unlearnt=True) / s.problem.sizes[own]
        cost = s.strength[COMPETITION] / s.problem.sizes[COMPETITION]
        squares = {f: b**2 * c**2, "b": c**2 * x**2, "c": b**2 * x**2}
        right = (
            EIGENVALUE**2
            * (EIGENVALUE - stiff * sum(squares.values()))
            * (EIGENVALUE - cost * x**2) ** n[absent]
            * math.prod((EIGENVALUE - stiff * v) ** (n[g] - 1) for g, v in squares.items())
        )
        at = dict.fromkeys([s.offset[own], s.u[absent], *s.w.values()], zero)
        at[x] = s.problem.targets[own] / (b * c)
        says = f"at {own.upper()}'s minima: every eigenvalue, with how often it occurs"
        yield Statement(f"minimum_{own}", says, CHARACTERISTIC, right, lang, at)
    b, c, d = (s.u[f] for f in "bcd")
    at = dict.fromkeys([c, s.w["c"]], zero)
    right = -_error(lang, ICL, unlearnt=True) * s.problem.targets[CIWL] * d / s.problem.sizes[CIWL]
    yield Statement("saddle_b", "on the saddle", lang.slope(b, b), zero, lang, at)
    at = at | {s.u["a"]: zero}
    yield Statement("saddle_bc", "on the saddle", lang.slope(b, c), right, lang, at)


def _toleration(lang: Language) -> Iterator[Statement]:
    s, r, q = lang.symbolic, lang.square, sp.Symbol("q", positive=True)
    cost, alpha = lang.loss[COMPETITION], s.strength[COMPETITION]
    size = s.problem.sizes[COMPETITION]
    icl, ciwl = s.problem.targets[ICL] ** 2, s.problem.targets[CIWL] ** 2
    own = {"a": icl / q**2, "d": ciwl / q**2}
    at = {s.u[f] ** 2: value for f, value in own.items()}
    at |= {s.w[f]: sp.Integer(0) for f in own}
    late = icl * ciwl / (2 * size * q**4)
    yield Statement("toleration_cost", "the cost that is left", cost, late, lang, at)
    speed = {sp.Derivative(q, TIME): 8 * alpha * cost / (1 + 2 * (icl + ciwl) / q**3)}
    left = sp.Derivative(r["a"] + r["d"] - r["b"], TIME)
    at = {r["b"]: q} | {r[f]: value for f, value in own.items()} | speed
    says = "the budget law, with rates of 1, says how fast q grows"
    yield Statement("toleration_law", says, left, -8 * alpha * cost, lang, at)
    left = sp.Derivative(q**5 + 5 * (icl + ciwl) * q**2, TIME)
    says, right = "so this grows in proportion to time", 20 * alpha * icl * ciwl / size
    yield Statement("toleration_growth", says, left, right, lang, {cost: late} | speed)


def _plateau(lang: Language) -> Iterator[Statement]:
    s, r, zero = lang.symbolic, lang.square, sp.Integer(0)
    b, c, d = (s.u[f] for f in "bcd")
    target, size = s.problem.targets[CIWL], s.problem.sizes[CIWL]
    at = {s.u["a"]: zero, s.w["a"]: zero}
    right = _error(lang, ICL) * (r["b"] * r["d"] * c - target * b * d) / size
    yield Statement("following", "without a, what c follows", lang.slope(c), right, lang, at)
    at = at | {s.w["c"]: zero, c: target * b * d / (r["b"] * r["d"])}
    pull = 4 * lang.unlearnt[CIWL] * _error(lang, ICL, unlearnt=True) / (r["b"] * r["d"])
    for f, x in (("d", d), ("b", b)):
        right = s.rate[f] * pull * b**2 * d**2 * (1 - x**2 / r[f])
        yield Statement(
            f"turning_{f}", "on the plateau", sp.Derivative(x**2, TIME), right, lang, at
        )
    u, v, kappa = sp.symbols("U V kappa", positive=True)
    remaining = sp.log(v / u) / (kappa * (v - u))
    at = {sp.Derivative(u, TIME): kappa * u * v, sp.Derivative(v, TIME): kappa * u * v}
    left = sp.Derivative(remaining, TIME)
    yield Statement("plateau_time", "the time that is left", left, sp.Integer(-1), lang, at)


def _origin(lang: Language) -> Iterator[Statement]:
    s = lang.symbolic
    a, b, c, d = (s.u[f] for f in "abcd")
    g1, g2, v = *sp.symbols("g_1 g_2", positive=True), sp.Symbol("v")
    pulls = {
        g: _error(lang, rival, unlearnt=True) * s.problem.targets[own] / s.problem.sizes[own]
        for g, own, rival in ((g1, ICL, CIWL), (g2, CIWL, ICL))
    }
    errors = _error(lang, ICL, unlearnt=True) * _error(lang, CIWL, unlearnt=True)
    right = errors - (g1 * a + g2 * d) * b * c + sp.Order(SIZE**4)
    says = "near the origin, where the whole state is of the order of epsilon"
    yield Statement("origin", says, lang.total, right, lang, pulls)
    g, says = sp.sqrt(g1**2 + g2**2), "by the terms of third order"
    for id, x, right, moving in (
        ("elliptic_v", v, g * b * c, {a: g1 * b * c, d: g2 * b * c}),
        ("elliptic_b", b, g * v * c, {b: (g1 * a + g2 * d) * c}),
    ):
        at = {v: (g1 * a + g2 * d) / g}
        at |= {sp.Derivative(y, TIME): speed for y, speed in moving.items()}
        yield Statement(id, says, sp.Derivative(x, TIME), right, lang, at)
