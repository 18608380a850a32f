"""The theory of a model as a document: a page of prose whose equations are proved.

The prose is `family.md`, and `two_strategies.md` for that model; `docs/theory.md` is the output of
`coopetition derive two_strategies --latex`.  A line <<pattern>> of the prose stands for the
statements of `family_statements` whose ids match it, and [[word]] for words about the model.  A
statement of one model is written in the prose itself (`read_statements`).

A statement is two printed sides.  Its proof replaces every symbol of both by its meaning
(`Language`: losses by sums over tensor entries, slopes by derivatives of those, rates by the flow),
and subtracts.  Nothing else enters, so a wrong sign on the page cannot be proved.
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
from coopetition.model.laws import norm_laws
from coopetition.model.presets import is_two_strategies
from coopetition.model.reduced import Problem
from coopetition.model.symbolic import Expression, Symbolic
from coopetition.theory.critical_sets import critical_sets, list_is_complete, theorem_holds
from coopetition.tools.files import markdown_table, wrap_text

TIME, STEP = sp.Symbol("t", real=True), sp.Symbol("h", positive=True)
SIZE = sp.Symbol("epsilon", positive=True)  # of the state, where a statement holds to an order
CHANGE = sp.Function("Delta")  # of a quantity by one step of descent
EIGENVALUE, CHARACTERISTIC = sp.Symbol("lambda"), sp.Symbol("chi")  # of the Hessian


class Language:
    """The symbols of the page beside those of `Symbolic`, and their meanings.

    total, loss, square, unlearnt : L; L or K of each mechanism or cost; R = |x|^2 of each factor;
        k = S^2 / 2N of each mechanism
    formula : L in the losses and costs
    """

    def __init__(self, symbolic: Symbolic) -> None:
        self.symbolic = s = symbolic
        self.total = sp.Symbol("L")
        self.loss = {name: sp.Symbol(f"L_{name}") for name in s.offset}
        self.loss |= {name: sp.Symbol(f"K_{name}") for name in s.strength}
        self.square = {f: sp.Symbol(f"R_{f}", nonnegative=True) for f in s.model.factors}
        self.unlearnt = {name: sp.Symbol(f"k_{name}", positive=True) for name in s.offset}
        costs = (alpha * self.loss[name] for name, alpha in s.strength.items())
        product = math.prod(self.loss[name] + mu for name, mu in s.offset.items())
        self.formula: Expression = product + sum(costs, sp.Integer(0))
        halves = {name: sp.fraction(value) for name, value in s.definition().items()}
        entries = {name: sp.expand(above) / below for name, (above, below) in halves.items()}
        targets, sizes = s.problem.targets, s.problem.sizes
        self._characteristics: dict[tuple, Expression] = {}
        # meanings: of the mechanisms' losses, and of all else but L
        self._deep = {self.loss[name]: entries[name] for name in s.offset}
        self._shallow = s.products | {self.loss[name]: entries[name] for name in s.strength}
        self._shallow |= {r: s.u[f] ** 2 + s.w[f] ** 2 for f, r in self.square.items()}
        self._shallow |= {
            k: (targets[name] ** 2 / (2 * sizes[name])).xreplace(s.products)
            for name, k in self.unlearnt.items()
        }

    def parse(self, text: str) -> Expression:
        """Return an expression in sympy's notation; d(f, x) is a derivative."""
        meanings = [self.total, *self.loss.values(), *self._shallow]
        symbols = [*self.symbolic.state, *self.symbolic.rate.values(), *meanings, TIME, SIZE]
        symbols += [*self.symbolic.offset.values(), *self.symbolic.strength.values()]
        symbols += [*self.symbolic.length.values(), CHARACTERISTIC]
        symbols += sp.symbols("g_1 g_2 q U V kappa", positive=True)
        names = {str(symbol): symbol for symbol in symbols}
        return sp.parse_expr(text, names | {"d": sp.Derivative, "eigenvalue": EIGENVALUE})

    def slope(self, *symbols: sp.Symbol) -> Expression:
        """Return a derivative of L by entries of the state, unevaluated."""
        return sp.Derivative(self.total, *symbols)

    def slope_formula(self, x: sp.Symbol) -> Expression:
        """Return the slope by the chain rule through the losses that contain x."""
        inner = {name: sp.diff(self.symbolic.losses[name], x) for name in self.loss}
        parts = (
            sp.diff(self.formula, self.loss[name]) * self.in_squares(slope)
            for name, slope in inner.items()
            if slope != 0
        )
        return sum(parts, sp.Integer(0))

    def in_squares(self, expression: Expression) -> Expression:
        """Return the expression with every w^2 as R - u^2."""
        s = self.symbolic
        squares = {s.w[f] ** 2: self.square[f] - s.u[f] ** 2 for f in s.model.factors}
        return sp.factor(sp.expand(sp.expand(expression).subs(squares)))

    def stages(self, residual: Expression, at: Mapping) -> Iterator[Expression]:
        """Yield the residual in ever plainer symbols: slopes kept, losses kept, all written out.

        If one of them is identically zero, so are those after it.
        """
        moving = self._visit(residual, at, by_time=True)
        residual = sp.expand(moving) if residual.has(CHANGE) else moving
        yield residual
        point = {x: value for x, value in at.items() if not isinstance(x, sp.Derivative)}
        residual = self._visit(residual, at, by_time=False)
        if residual.has(CHARACTERISTIC):
            residual = residual.xreplace({CHARACTERISTIC: self._characteristic(point)})
        for meaning in ({self.total: self.formula}, self._shallow, self._deep):
            # a point's values may hold printed symbols, and losses are taken at the point
            residual = residual.xreplace(meaning).xreplace(point).xreplace(self._shallow)
            yield residual

    def terms_below(self, order: int, expression: Expression) -> list[Expression]:
        """Return the terms of a polynomial below an order in the state, order by order."""
        scaled = sp.expand(expression.xreplace({x: SIZE * x for x in self.symbolic.state}))
        return [scaled.coeff(SIZE, k) for k in range(order)]

    def is_exact(self) -> bool:
        """Return whether `formula`, and the code's losses and slopes, agree with the definition."""
        s, definition = self.symbolic, self.symbolic.definition()
        losses = {symbol: definition[name] for name, symbol in self.loss.items()}
        total = definition["total"]
        pairs = [(self.formula.xreplace(losses), total)]
        pairs += [
            (s.losses[name].xreplace(s.products), value) for name, value in definition.items()
        ]
        pairs += [(s.gradient[x].xreplace(s.products), sp.diff(total, x)) for x in s.state]
        return all(vanishes(mine - defined) for mine, defined in pairs)

    def _visit(self, node: Expression, at: Mapping, *, by_time: bool) -> Expression:
        """Evaluate derivatives: those by time (and steps of descent), or those by the state."""
        if isinstance(node, sp.Derivative) and by_time == (node.variables == (TIME,)):
            inner = node.expr
            for variable in node.variables:
                inner = self._derivative(inner, variable, at)
            return inner
        if by_time and node.func == CHANGE:
            return self._step(node.args[0])
        if not node.args or isinstance(node, sp.Derivative):
            return node
        return node.func(*(self._visit(each, at, by_time=by_time) for each in node.args))

    def _derivative(self, expression: Expression, variable: sp.Symbol, at: Mapping) -> Expression:
        """Return the derivative by time or by an entry of the state, by the chain rule."""
        symbols = sorted(expression.free_symbols, key=str)
        speeds = {x: self._speed(x, variable, at) for x in symbols}
        terms = (sp.diff(expression, x) * speed for x, speed in speeds.items() if speed != 0)
        return sum(terms, sp.Integer(0))

    def _speed(self, symbol: sp.Symbol, variable: sp.Symbol, at: Mapping) -> Expression:
        """Return the derivative of a symbol: by time along the flow, or as `at` gives it."""
        if variable == TIME:
            given = at.get(sp.Derivative(symbol, TIME))
            if given is not None:
                return given
            if symbol in self.symbolic.gradient:
                return self._velocity(symbol)
            if symbol == self.total:
                return sum(self.slope(x) * self._velocity(x) for x in self.symbolic.state)
            meaning = at.get(symbol, self._shallow.get(symbol))
        elif symbol == self.total:
            meaning = self.formula
        else:
            meaning = self._shallow.get(symbol, self._deep.get(symbol))
        if meaning is None:
            return sp.Integer(symbol == variable)
        return self._derivative(meaning, variable, at)

    def _velocity(self, x: sp.Symbol) -> Expression:
        rates = [*self.symbolic.rate.values()] * 2
        return -rates[self.symbolic.state.index(x)] * self.slope(x)

    def _step(self, quantity: Expression) -> Expression:
        """Return the change of a function of the state by a step of descent."""
        before = quantity.xreplace(self._shallow)
        moved = {x: x + STEP * self._velocity(x) for x in self.symbolic.state}
        return sp.expand(before.xreplace(moved) - before)

    def _characteristic(self, point: Mapping) -> Expression:
        """Return det(lambda - H) in all dimensions, at a point where every w is zero.

        There all N - 1 directions at right angles to a target have the same curvature.
        """
        key = tuple(point.items())
        if key not in self._characteristics:
            s, u = self.symbolic, list(self.symbolic.u.values())
            at = {x: value.xreplace(self._shallow) for x, value in point.items()}

            def second(x: sp.Symbol, y: sp.Symbol) -> Expression:
                slope = self._visit(self.slope(x, y), {}, by_time=False)
                return sp.factor(slope.xreplace(self._deep).xreplace(self._shallow).xreplace(at))

            plane = sp.Matrix(len(u), len(u), lambda i, j: second(u[i], u[j]))
            beyond = math.prod(
                (EIGENVALUE - second(w, w)) ** (s.length[f] - 1) for f, w in s.w.items()
            )
            determinant = (EIGENVALUE * sp.eye(len(u)) - plane).det(method="berkowitz")
            self._characteristics[key] = determinant * beyond
        return self._characteristics[key]


SLOPE = re.compile(
    r"\\frac\{d((?:\^\{\d\})?)\}\{((?:d \w_\{\w+\}(?:\^\{\d\})?)+)\} ([LK](?:_\{\w+\})?)"
)


def _curly_slope(match: re.Match[str]) -> str:
    order, below, loss = match.groups()
    below = below.replace("d ", r"\partial ")
    return rf"\frac{{\partial{order} {loss}}}{{{below}}}"


@dataclass(frozen=True, slots=True)
class Statement:
    """An equation with an id, and a phrase about it.

    left, right : the sides as they are printed
    at : printed with them: where it holds, and the meanings of symbols that it alone uses
    """

    id: str
    says: str
    left: Expression
    right: Expression
    language: Language = field(repr=False)
    at: Mapping[Expression, Expression] = field(default_factory=dict)

    @property
    def proved(self) -> bool:
        """Whether left = right for all values of the symbols, by proof.

        An exact sample comes first only to skip proofs that would fail.
        """
        residual = self.left - self.right
        stages = self.language.stages(residual.removeO(), self.at)
        if residual.has(sp.Order):
            *_, plain = stages
            return all(map(vanishes, self.language.terms_below(residual.getn(), plain)))
        return any(_sample(stage) == 0 and vanishes(stage) for stage in stages)

    def latex(self) -> str:
        """Return the equation for a page that renders mathematics."""
        # slopes with a curly d and rates with a straight one: sympy goes by the number of symbols
        equation = f"{sp.latex(self.left)} = {sp.latex(self.right)}"
        equation = SLOPE.sub(_curly_slope, equation)
        return equation.replace(r"\frac{\partial}{\partial t}", r"\frac{d}{d t}")

    def text(self) -> str:
        """Return the equation for a terminal."""
        return f"{sp.sstr(self.left)} = {sp.sstr(self.right)}"

    def conditions(self, write: Callable[[Expression], str]) -> list[str]:
        """Return the equations of `at`, those with equal values together."""
        symbols: dict[Expression, list[str]] = {}
        for symbol, value in self.at.items():
            symbols.setdefault(value, []).append(write(symbol))
        return [" = ".join([*names, write(value)]) for value, names in symbols.items()]


def _sample(expression: Expression) -> Expression:
    """Return the exact value at one point."""
    numbers = random.Random(0)
    unknowns: Any = expression.free_symbols | expression.atoms(sp.Derivative)
    point = {
        x: sp.Rational(numbers.randint(2, 40), 1 if str(x).startswith("N_") else 7)
        for x in sorted(unknowns, key=str)
    }
    value = expression.xreplace(point)
    return value if value.is_Rational else sp.simplify(value)


def vanishes(expression: Expression) -> bool:
    """Return whether a rational function of the symbols is identically zero, by proof."""
    marks: dict[Expression, sp.Symbol] = {}

    def mark(power: Expression) -> Expression:
        """Return x^(N - 1) as 1/x times a symbol for x^N."""
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
    """Expand a polynomial: in a ring, which is several times as fast, or else in sympy."""
    try:
        ring, *_ = sp.ring(sorted(polynomial.free_symbols, key=str), sp.QQ)
        return ring.from_expr(polynomial) == 0
    except (ValueError, GeneratorsError):  # roots, fractions, slopes, or nothing but numbers
        return sp.expand(polynomial) == 0


def family_statements(lang: Language) -> Iterator[Statement]:
    """Yield the statements that hold for a model of any sharing graph."""
    s = lang.symbolic

    def state(id: str, says: str, left: Expression, right: Expression) -> Statement:
        return Statement(id, says, left, right, lang)

    for name, symbol in lang.loss.items():
        says = "a cost" if name in s.strength else "a mechanism's loss"
        yield state(f"loss_{name}", says, symbol, lang.in_squares(s.losses[name]))
    yield state("loss_total", "the total loss, by definition", lang.total, lang.formula)
    for x in s.state:
        yield state(f"slope_{x}", "a slope of the loss", lang.slope(x), lang.slope_formula(x))

    rates = zip(s.state, [*s.rate.values()] * 2, strict=True)
    squares = -sum((r * lang.slope(x) ** 2 for x, r in rates), sp.Integer(0))
    says = "the loss never rises along the flow"
    yield state("total_falls", says, sp.Derivative(lang.total, TIME), squares)
    for f, w in s.w.items():
        says = "an orthogonal part never grows: every term has the same sign"
        right = sp.factor(-2 * s.rate[f] * w * lang.slope_formula(w))
        yield state(f"orthogonal_{f}", says, sp.Derivative(w**2, TIME), right)

    for part in s.model.parts:
        loss, weights = lang.loss[part.name], {f: sp.Symbol(f"c_{f}") for f in part.factors}
        left = sum(
            c * x * sp.Derivative(loss, x)
            for f, c in weights.items()
            for x in (s.u[f], s.w[f], *([s.norm[f]] if part.name in s.offset else []))
        )
        says = "the effect of lengthening each factor and its target at the rate c"
        yield state(f"scale_{part.name}", says, left, 2 * sum(weights.values()) * loss)

    for number, law in enumerate(norm_laws(s.model), 1):
        quantity = sum(c * lang.square[f] / s.rate[f] for f, c in law.coefficients.items())
        pulls = (-4 * c * s.strength[name] * lang.loss[name] for name, c in law.costs.items())
        rate = sum(pulls, sp.Integer(0))
        says = (
            "a quantity that the flow conserves"
            if law.conserved
            else "a quantity that costs change"
        )
        yield state(f"law_{number}", says, sp.Derivative(quantity, TIME), rate)
        entries = ((c, f, x) for f, c in law.coefficients.items() for x in (s.u[f], s.w[f]))
        second = sum(c * s.rate[f] * lang.slope(x) ** 2 for c, f, x in entries)
        says = "its exact change by one step of descent of size h"
        yield state(f"law_{number}_step", says, CHANGE(quantity), STEP * rate + STEP**2 * second)


# <<pattern>>, or a statement: <<id: phrase, a line "left = right", and "with" conditions>>
PLACE = re.compile(r"^<<([\w*]+)(?:: ([^\n]*)\n([^>]*))?>>\n", re.MULTILINE)


def read_statements(page: str, language: Language) -> Iterator[Statement]:
    """Yield the statements that are written in a page."""
    for id, says, body in PLACE.findall(page):
        if not body:
            continue
        equation, _, conditions = " ".join(body.split()).partition(" with ")
        left, right = (language.parse(side) for side in equation.split(" = "))
        at = {}
        for condition in conditions.split(";") if conditions else ():
            *symbols, value = (language.parse(side) for side in condition.split(" = "))
            at |= dict.fromkeys(symbols, value)
        yield Statement(id, says, left, right, language, at)


class Derivation:
    """Definition, reduction, flow, laws and critical points of a model, each statement proved."""

    def __init__(self, name: str, model: Model) -> None:
        self.name, self.model = name, model
        self.language = Language(Symbolic(model))
        names = ["family.md", *(["two_strategies.md"] if is_two_strategies(model) else [])]
        folder = files("coopetition.theory")
        self.page = "\n".join(folder.joinpath(name).read_text("utf8") for name in names)

    @cached_property
    def statements(self) -> list[Statement]:
        """All statements."""
        return [*family_statements(self.language), *read_statements(self.page, self.language)]

    @cached_property
    def unproved(self) -> set[str]:
        """Ids of the statements whose proof fails: none, or something is wrong."""
        return {each.id for each in self.statements if not each.proved}

    def statements_at(self, pattern: str) -> list[Statement]:
        """Return the statements of a place."""
        return [each for each in self.statements if fnmatchcase(each.id, pattern)]

    def text(self) -> str:
        """Return the statements for a terminal."""
        lines = []
        for section in re.split(r"^## [\d. ]*", self.page, flags=re.MULTILINE)[1:]:
            title, _, body = section.partition("\n")
            statements = [
                each for place in PLACE.findall(body) for each in self.statements_at(place[0])
            ]
            lines += ["", title, "-" * len(title)] if statements else []
            for each in statements:
                mark = "NOT PROVED" if each.id in self.unproved else "proved"
                lines.append(f"{each.id}: {each.says}  [{mark}]")
                equations = [each.text()]
                if each.at:
                    equations.append(f"with {', '.join(each.conditions(sp.sstr))}")
                lines += [wrap_text(f"    {text}", indent=8 * " ") for text in equations]
        return "\n".join(lines).lstrip() + "\n"

    def markdown(self) -> str:
        """Return the whole document, with mathematics that renders on the web."""
        page = PLACE.sub(lambda place: self._equations(place[1]), self.page)
        for word, value in self._words().items():
            page = page.replace(f"[[{word}]]", value)
        return re.sub(r"\n{3,}", "\n\n", page).rstrip() + "\n"

    def _equations(self, pattern: str) -> str:
        lines = ""
        for each in self.statements_at(pattern):
            mark = " **(not proved)**" if each.id in self.unproved else ""
            at = ", ".join(f"${part}$" for part in each.conditions(sp.latex))
            says = f"{each.says}, with {at}" if at else each.says
            lines += f"**`{each.id}`** {says}{mark}:\n\n$$\n{each.latex()}\n$$\n\n"
        return lines

    def _words(self) -> dict[str, str]:
        model, mean = self.model, self.model.convention == "mean"
        tensors = "; ".join(
            rf"*{m.name}* builds the tensor ${_outer(m.factors)}$" for m in model.mechanisms
        )
        costs = ", ".join(f"${_outer(c.factors)}$ (*{c.name}*)" for c in model.costs)
        costs = f" Costs for being large together: {costs}." if costs else ""
        return {
            "name": self.name,
            "model": f"Factors ${', '.join(model.factors)}$ are vectors; {tensors}.{costs}",
            "convention": model.convention,
            "size": "that of their lengths" if mean else "is 1",
            "exactly": "exactly" if self.language.is_exact() else "**not**",
            "critical sets": self._critical_sets(),
        }

    def _critical_sets(self) -> str:
        names = self.model.factors
        dims, norms = dict.fromkeys(names, 3), dict.fromkeys(names, 1.0)
        holds = "hold" if theorem_holds(self.model) else "do **not** hold"
        complete = "complete" if list_is_complete(self.model) else "**not** complete"
        lines = [
            f"The conditions of the theorem {holds} for this model, and the list below is",
            f"{complete}. Each row is a set of critical points, for the model's own parameters and",
            "factors of length 3. *Dimension* is that of the set. The third column counts the",
            "eigenvalues of the Hessian at a generic point of the set, by sign.",
        ]
        heads = ("critical set", "dimension", "eigenvalues: negative, zero, positive", "kind")
        rows = []
        for each in critical_sets(Problem.from_numbers(self.model, dims, norms)):
            counts = ", ".join(str(each.spectrum.count(sign)) for sign in (-1, 0, 1))
            rows.append((each.describe(), str(each.dimension), counts, each.kind.name.lower()))
        return "\n".join([*lines, "", markdown_table(heads, rows)])


def _outer(factors: tuple[str, ...]) -> str:
    return r" \otimes ".join(factors)
