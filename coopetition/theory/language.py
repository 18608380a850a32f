"""The symbols of a page of theory, and what each of them stands for."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import sympy as sp

from coopetition.model.symbolic import Expression, Symbolic

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
