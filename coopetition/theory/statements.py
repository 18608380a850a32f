"""Statements: equations that are proved from what is printed.

A statement is two printed sides.  Its proof takes both, replaces every symbol by what it stands for
(`Language`: losses by sums over tensor entries, slopes by derivatives of those, rates by the flow),
and subtracts.  Nothing else enters, so a wrong sign on the page cannot be proved.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy.polys.polyerrors import GeneratorsError

from coopetition.model.symbolic import Expression
from coopetition.theory.language import CHANGE, STEP, TIME, Language
from coopetition.theory.laws import NormLaw, norm_laws

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
