"""The symbols of a page of theory, and what each of them stands for.

Statements: equations that are proved from what is printed.

A statement is two printed sides.  Its proof takes both, replaces every symbol by what it stands for
(`Language`: losses by sums over tensor entries, slopes by derivatives of those, rates by the flow),
and subtracts.  Nothing else enters, so a wrong sign on the page cannot be proved.

What is proved for the published model alone: fates, Hessians, late times, plateau.

The theory of a model as a document: a page of prose, with its statements put in and proved.

The prose is `family.md`, and `two_strategies.md` for that model.  There a line <<pattern>> stands
for the statements whose ids match it, and [[word]] for words about the model.  `docs/theory.md` is
what `coopetition derive two_strategies --latex` prints.
"""

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.resources import files
from typing import Any

import sympy as sp
from sympy.polys.polyerrors import GeneratorsError

from coopetition.model.graph import Model
from coopetition.model.presets import CIWL, COMPETITION, ICL, is_two_strategies
from coopetition.model.reduced import Problem
from coopetition.model.symbolic import Expression, Symbolic
from coopetition.theory.critical_sets import critical_sets, list_is_complete, theorem_holds
from coopetition.theory.laws import NormLaw, norm_laws

TIME, STEP = sp.Symbol("t", real=True), sp.Symbol("h", positive=True)
SIZE = sp.Symbol("epsilon", positive=True)  # of the state, where a statement holds to an order
CHANGE = sp.Function("Delta")  # of a quantity by one step of descent
EIGENVALUE, CHARACTERISTIC = sp.Symbol("lambda"), sp.Symbol("chi")  # of the Hessian
Rule = Callable[[sp.Symbol], Expression]


class Language:
    """The symbols of the page beside those of `Symbolic`, and what they stand for.

    total, loss, square, unlearnt : L; L or K of each mechanism or cost; R = |x|^2 of each factor;
        k = S^2 / 2N of each mechanism
    """

    def __init__(self, symbolic: Symbolic) -> None:
        self.symbolic = s = symbolic
        self.total = sp.Symbol("L")
        self.loss = {name: sp.Symbol(f"L_{name}") for name in s.offset}
        self.loss |= {name: sp.Symbol(f"K_{name}") for name in s.strength}
        self.square = {f: sp.Symbol(f"R_{f}", nonnegative=True) for f in s.model.factors}
        self.unlearnt = {name: sp.Symbol(f"k_{name}", positive=True) for name in s.offset}
        halves = {name: sp.fraction(value) for name, value in s.definition().items()}
        entries = {name: sp.expand(above) / below for name, (above, below) in halves.items()}
        targets, sizes = s.problem.targets, s.problem.sizes
        self._characteristics: dict[tuple, Expression] = {}
        self._deep = {self.loss[name]: entries[name] for name in s.offset}
        self._shallow = s.products | {self.loss[name]: entries[name] for name in s.strength}
        self._shallow |= {r: s.u[f] ** 2 + s.w[f] ** 2 for f, r in self.square.items()}
        self._shallow |= {
            k: (targets[name] ** 2 / (2 * sizes[name])).xreplace(s.products)
            for name, k in self.unlearnt.items()
        }

    @cached_property
    def formula(self) -> Expression:
        """L in the losses and costs."""
        s = self.symbolic
        costs = (alpha * self.loss[name] for name, alpha in s.strength.items())
        return math.prod(self.loss[m] + mu for m, mu in s.offset.items()) + sum(
            costs, sp.Integer(0)
        )

    def slope(self, *symbols: sp.Symbol) -> Expression:
        """A derivative of L by entries of the state, unevaluated."""
        return sp.Derivative(self.total, *symbols)

    def in_squares(self, expression: Expression) -> Expression:
        """Every w^2 as R - u^2."""
        s = self.symbolic
        squares = {s.w[f] ** 2: self.square[f] - s.u[f] ** 2 for f in s.model.factors}
        return sp.factor(sp.expand(sp.expand(expression).subs(squares)))

    def stages(self, residual: Expression, at: Mapping) -> Iterator[Expression]:
        """The residual in ever plainer symbols: slopes kept, losses kept, everything written out.

        If one of them is identically zero, so are those after it.
        """
        moving = self._visit(residual, self._moving(at), steps=True)
        residual = sp.expand(moving) if residual.has(CHANGE) else moving
        yield residual
        point = {x: value for x, value in at.items() if not isinstance(x, sp.Derivative)}
        residual = self._visit(residual, self._slope_rule)
        if residual.has(CHARACTERISTIC):
            residual = residual.xreplace({CHARACTERISTIC: self._characteristic(point)})
        for meaning in ({self.total: self.formula}, self._shallow, self._deep):
            # a point's values may hold printed symbols, and losses are taken at the point
            residual = residual.xreplace(meaning).xreplace(point).xreplace(self._shallow)
            yield residual

    def below(self, order: int, expression: Expression) -> list[Expression]:
        """The terms of a polynomial below an order in the state, order by order."""
        scaled = sp.expand(expression.xreplace({x: SIZE * x for x in self.symbolic.state}))
        return [scaled.coeff(SIZE, k) for k in range(order)]

    def _visit(self, node: Expression, rule: Callable, steps: bool = False) -> Expression:
        """Evaluate derivatives: those by time (and steps of descent), or those by the state."""
        if isinstance(node, sp.Derivative) and steps == (node.variables == (TIME,)):
            inner = node.expr
            for variable in node.variables:
                inner = _chain(inner, rule(variable))
            return inner
        if steps and node.func == CHANGE:
            return self._step(node.args[0])
        if not node.args or isinstance(node, sp.Derivative):
            return node
        return node.func(*(self._visit(argument, rule, steps) for argument in node.args))

    def _slope_rule(self, variable: sp.Symbol) -> Rule:
        meaning = self._shallow | self._deep | {self.total: self.formula}

        def rule(symbol: sp.Symbol) -> Expression:
            if symbol in meaning:
                return _chain(meaning[symbol], rule)
            return sp.Integer(symbol == variable)

        return rule

    def _velocity(self, x: sp.Symbol) -> Expression:
        factor = next(f for f in self.symbolic.model.factors if x in self._entries(f))
        return -self.symbolic.rate[factor] * self.slope(x)

    def _entries(self, factor: str) -> tuple[sp.Symbol, sp.Symbol]:
        return self.symbolic.u[factor], self.symbolic.w[factor]

    def _moving(self, at: Mapping) -> Callable[[sp.Symbol], Rule]:
        """Rates of change of all symbols along the flow, or as `at` has them."""

        def rule(symbol: sp.Symbol) -> Expression:
            given = at.get(sp.Derivative(symbol, TIME))
            if given is not None:
                return given
            if symbol in self.symbolic.gradient:
                return self._velocity(symbol)
            if symbol == self.total:
                return sum(self.slope(x) * self._velocity(x) for x in self.symbolic.state)
            meaning = at.get(symbol, self._shallow.get(symbol, sp.Integer(0)))
            return _chain(meaning, rule)

        return lambda _: rule

    def _step(self, quantity: Expression) -> Expression:
        """What a step of descent adds to a function of the state."""
        before = quantity.xreplace(self._shallow)
        moved = {x: x + STEP * self._velocity(x) for x in self.symbolic.state}
        return sp.expand(before.xreplace(moved) - before)

    def _characteristic(self, point: Mapping) -> Expression:
        """det(lambda - H) in all dimensions, at a point where every w is zero.

        There the directions at right angles to a target are all alike: w's counts N - 1 times.
        """
        key = tuple(point.items())
        if key not in self._characteristics:
            s, u = self.symbolic, list(self.symbolic.u.values())
            at = {x: value.xreplace(self._shallow) for x, value in point.items()}

            def second(x: sp.Symbol, y: sp.Symbol) -> Expression:
                slope = self._visit(self.slope(x, y), self._slope_rule)
                return sp.factor(slope.xreplace(self._deep).xreplace(self._shallow).xreplace(at))

            plane = sp.Matrix(len(u), len(u), lambda i, j: second(u[i], u[j]))
            beyond = math.prod(
                (EIGENVALUE - second(w, w)) ** (s.length[f] - 1) for f, w in s.w.items()
            )
            determinant = (EIGENVALUE * sp.eye(len(u)) - plane).det(method="berkowitz")
            self._characteristics[key] = determinant * beyond
        return self._characteristics[key]


def _chain(expression: Expression, rule: Rule) -> Expression:
    """The derivative of a function of symbols, each of which changes by the rule."""
    speeds = {x: rule(x) for x in sorted(expression.free_symbols, key=str)}
    terms = (sp.diff(expression, x) * speed for x, speed in speeds.items() if speed != 0)
    return sum(terms, sp.Integer(0))


SLOPE = re.compile(
    r"\\frac\{d((?:\^\{\d\})?)\}\{((?:d \w_\{\w+\}(?:\^\{\d\})?)+)\} ([LK](?:_\{\w+\})?)"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """An equation with an id, and a sentence that says what it is.

    left, right : as they are printed
    at : printed with them: where it holds, and what the symbols are that it alone uses
    """

    id: str
    says: str
    left: Expression
    right: Expression
    language: Language = field(repr=False)
    at: Mapping[Expression, Expression] = field(default_factory=dict)

    @property
    def proved(self) -> bool:
        """Is left = right for all values of the symbols?  A proof, not a sample.

        A sample, exact, only spares the work where it would be in vain.
        """
        residual = self.left - self.right
        stages = self.language.stages(residual.removeO(), self.at)
        if residual.has(sp.Order):
            *_, plain = stages
            return all(map(vanishes, self.language.below(residual.getn(), plain)))
        return any(_sampled(stage) == 0 and vanishes(stage) for stage in stages)

    def latex(self) -> str:
        """The equation for a page that renders mathematics."""
        return _derivatives(f"{sp.latex(self.left)} = {sp.latex(self.right)}")

    def text(self) -> str:
        """The equation for a terminal."""
        return f"{sp.sstr(self.left)} = {sp.sstr(self.right)}"

    def where(self, write: Callable[[Expression], str]) -> list[str]:
        """What `at` says, equals together."""
        values: dict[Expression, list[str]] = {}
        for symbol, value in self.at.items():
            values.setdefault(value, []).append(write(symbol))
        return [" = ".join([*names, write(value)]) for value, names in values.items()]


def _sampled(expression: Expression) -> Expression:
    """The value at one point, exact."""
    numbers = random.Random(0)
    unknowns: Any = expression.free_symbols | expression.atoms(sp.Derivative)
    point = {
        x: sp.Rational(numbers.randint(2, 40), 1 if str(x).startswith("N_") else 7)
        for x in sorted(unknowns, key=str)
    }
    value = expression.xreplace(point)
    return value if value.is_Rational else sp.simplify(value)


def vanishes(expression: Expression) -> bool:
    """Is a rational function of the symbols identically zero?  A proof, not a sample."""
    marks: dict[Expression, sp.Symbol] = {}

    def mark(power: Expression) -> Expression:
        """x^(N - 1) as 1/x times a symbol for x^N."""
        whole, rest = sp.expand(power.exp).as_coeff_Add()
        symbol = marks.setdefault(sp.cancel(power.base) ** rest, sp.Dummy())
        return symbol * power.base**whole

    plain = expression.replace(lambda e: e.is_Pow and not e.exp.is_number, mark)
    # most often 1/x may be anything, which spares the common denominator
    inverse = {x: 1 / sp.Dummy() for x in plain.free_symbols}
    free = plain.replace(
        lambda e: e.is_Pow and e.base.is_Symbol and e.exp.is_negative,
        lambda e: inverse[e.base] ** e.exp,
    )
    return _is_zero(free) or _is_zero(sp.fraction(sp.together(plain))[0])


def _is_zero(polynomial: Expression) -> bool:
    """By expanding it: in a ring, which is several times as fast, or else in sympy."""
    try:
        ring, *_ = sp.ring(sorted(polynomial.free_symbols, key=str), sp.QQ)
        return ring.from_expr(polynomial) == 0
    except (ValueError, GeneratorsError):  # roots, fractions, slopes, or nothing but numbers
        return sp.expand(polynomial) == 0


def is_exact(language: Language) -> bool:
    """Are the losses and slopes that the code computes with, and the printed L, those defined?"""
    s, definition = language.symbolic, language.symbolic.definition()
    losses = {symbol: definition[name] for name, symbol in language.loss.items()}
    pairs = [
        (language.formula.xreplace(losses), definition["total"]),
        *((s.losses[name].xreplace(s.products), value) for name, value in definition.items()),
        *((s.gradient[x].xreplace(s.products), sp.diff(definition["total"], x)) for x in s.state),
    ]
    return all(vanishes(mine - defined) for mine, defined in pairs)


def _derivatives(latex: str) -> str:
    """Slopes with a curly d and rates with a straight one: sympy goes by the number of symbols."""
    curly = SLOPE.sub(
        lambda m: rf"\frac{{\partial{m[1]} {m[3]}}}{{{m[2].replace('d ', chr(92) + 'partial ')}}}",
        latex,
    )
    return curly.replace(r"\frac{\partial}{\partial t}", r"\frac{d}{d t}")


def family_statements(language: Language) -> Iterator[Statement]:
    """What holds for a model of any sharing graph."""
    for part in (_losses, _slopes, _monotone, _scales, _laws):
        yield from part(language)


def _losses(lang: Language) -> Iterator[Statement]:
    s = lang.symbolic
    for name, symbol in lang.loss.items():
        says = "a cost" if name in s.strength else "a mechanism's loss"
        yield Statement(f"loss_{name}", says, symbol, lang.in_squares(s.losses[name]), lang)
    yield Statement(
        "loss_total", "what is minimised, by definition", lang.total, lang.formula, lang
    )


def _slopes(lang: Language) -> Iterator[Statement]:
    for x in lang.symbolic.state:
        yield Statement(f"slope_{x}", "a slope of the loss", lang.slope(x), _slope(lang, x), lang)


def _slope(lang: Language, x: sp.Symbol) -> Expression:
    """By the chain rule through the losses that contain x."""
    inner = {name: sp.diff(lang.symbolic.losses[name], x) for name in lang.loss}
    parts = (
        sp.diff(lang.formula, lang.loss[m]) * lang.in_squares(d) for m, d in inner.items() if d != 0
    )
    return sum(parts, sp.Integer(0))


def _monotone(lang: Language) -> Iterator[Statement]:
    s = lang.symbolic
    rates = dict(zip(s.state, [*s.rate.values()] * 2, strict=True))
    squares = -sum((r * lang.slope(x) ** 2 for x, r in rates.items()), sp.Integer(0))
    left = sp.Derivative(lang.total, TIME)
    yield Statement("total_falls", "the loss never rises along the flow", left, squares, lang)
    for f, w in s.w.items():
        says = "an orthogonal part never grows: every term has the same sign"
        right = sp.factor(-2 * s.rate[f] * w * _slope(lang, w))
        yield Statement(f"orthogonal_{f}", says, sp.Derivative(w**2, TIME), right, lang)


def _scales(lang: Language) -> Iterator[Statement]:
    s = lang.symbolic
    for part in s.model.parts:
        loss, weight = lang.loss[part.name], {f: sp.Symbol(f"c_{f}") for f in part.factors}
        left = sum(
            c * x * sp.Derivative(loss, x)
            for f, c in weight.items()
            for x in (s.u[f], s.w[f], *([s.norm[f]] if part.name in s.offset else []))
        )
        says = "what lengthening each factor and its target at the rate c does"
        yield Statement(f"scale_{part.name}", says, left, 2 * sum(weight.values()) * loss, lang)


def _laws(lang: Language) -> Iterator[Statement]:
    s = lang.symbolic
    for number, law in enumerate(norm_laws(s.model), 1):
        quantity = sum(c * lang.square[f] / s.rate[f] for f, c in law.coefficients.items())
        rate = _law_rate(lang, law)
        says = "a quantity that the flow conserves" if law.conserved else "a budget of the costs"
        yield Statement(f"law_{number}", says, sp.Derivative(quantity, TIME), rate, lang)
        entries = ((c, f, x) for f, c in law.coefficients.items() for x in (s.u[f], s.w[f]))
        second = sum(c * s.rate[f] * lang.slope(x) ** 2 for c, f, x in entries)
        says = "its change by one step of descent of size h, exactly"
        right = STEP * rate + STEP**2 * second
        yield Statement(f"law_{number}_step", says, CHANGE(quantity), right, lang)


def _law_rate(lang: Language, law: NormLaw) -> Expression:
    strength = lang.symbolic.strength
    terms = (-4 * c * strength[name] * lang.loss[name] for name, c in law.costs.items())
    return sum(terms, sp.Integer(0))


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


PLACE = re.compile(r"^<<([\w*]+)>>\n", re.MULTILINE)


class Derivation:
    """Definition, reduction, flow, laws and critical points of a model, each statement proved."""

    def __init__(self, name: str, model: Model) -> None:
        self.name, self.model = name, model
        self._language = Language(Symbolic(model))

    @cached_property
    def statements(self) -> list[Statement]:
        """Every statement."""
        published = is_two_strategies(self.model)
        more = two_strategies_statements(self._language) if published else ()
        return [*family_statements(self._language), *more]

    @cached_property
    def unproved(self) -> set[str]:
        """Ids of the statements whose proof fails: none, or something is wrong."""
        return {each.id for each in self.statements if not each.proved}

    @property
    def page(self) -> str:
        """The prose with places for words and statements."""
        names = ["family.md", *(["two_strategies.md"] if is_two_strategies(self.model) else [])]
        return "\n".join(
            files("coopetition.theory").joinpath(name).read_text("utf8") for name in names
        )

    def at(self, pattern: str) -> list[Statement]:
        """The statements of a place."""
        return [each for each in self.statements if fnmatchcase(each.id, pattern)]

    def text(self) -> str:
        """The statements, for a terminal."""
        lines = []
        for section in re.split(r"^## [\d. ]*", self.page, flags=re.MULTILINE)[1:]:
            title, _, body = section.partition("\n")
            statements = [each for place in PLACE.findall(body) for each in self.at(place)]
            lines += ["", title, "-" * len(title)] if statements else []
            for each in statements:
                mark = "NOT PROVED" if each.id in self.unproved else "proved"
                lines += [f"{each.id}: {each.says}  [{mark}]", f"    {each.text()}"]
                lines += [f"    with {', '.join(each.where(sp.sstr))}"] if each.at else []
        return "\n".join(lines).lstrip() + "\n"

    def markdown(self) -> str:
        """The whole document, with mathematics that renders on the web."""
        page = PLACE.sub(lambda place: self._shown(place[1]), self.page)
        for word, value in self._words().items():
            page = page.replace(f"[[{word}]]", value)
        return re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n"

    def _shown(self, pattern: str) -> str:
        lines = ""
        for each in self.at(pattern):
            mark = " **(not proved)**" if each.id in self.unproved else ""
            at = ", ".join(f"${part}$" for part in each.where(sp.latex))
            says = f"{each.says}, with {at}" if at else each.says
            lines += f"**`{each.id}`** {says}{mark}:\n\n$$\n{each.latex()}\n$$\n\n"
        return lines

    def _words(self) -> dict[str, str]:
        mean = self.model.convention == "mean"
        return {
            "name": self.name,
            "model": self._describe(),
            "convention": self.model.convention,
            "size": "that of their lengths" if mean else "is 1",
            "exactly": "exactly" if is_exact(self._language) else "**not**",
            "critical sets": self._critical_sets(),
        }

    def _describe(self) -> str:
        mechanisms = "; ".join(
            rf"*{m.name}* builds the tensor ${_outer(m.factors)}$" for m in self.model.mechanisms
        )
        pairs = ", ".join(f"${_outer(c.factors)}$ (*{c.name}*)" for c in self.model.costs)
        costs = f" Costs of being active together: {pairs}." if pairs else ""
        return f"Factors ${', '.join(self.model.factors)}$ are vectors; {mechanisms}.{costs}"

    def _critical_sets(self) -> str:
        names = self.model.factors
        problem = Problem.from_numbers(
            self.model, dict.fromkeys(names, 3), dict.fromkeys(names, 1.0)
        )
        holds = "hold" if theorem_holds(self.model) else "do **not** hold"
        complete = "complete" if list_is_complete(self.model) else "**not** complete"
        lines = [
            f"The conditions of the theorem {holds} for this model, and this list of its critical",
            f"sets is {complete}. It is for the model's own parameters and three entries a factor,",
            "with the signs of the Hessian's eigenvalues at a point in general position:",
            "",
            "| set | dimension | negative, zero, positive | kind |",
            "|---|---|---|---|",
        ]
        for each in critical_sets(problem):
            counts = ", ".join(str(each.spectrum.count(sign)) for sign in (-1, 0, 1))
            kind = each.kind.name.lower()
            lines.append(f"| {each.describe()} | {each.dimension} | {counts} | {kind} |")
        return "\n".join(lines)


def _outer(factors: tuple[str, ...]) -> str:
    return r" \otimes ".join(factors)
