"""The theory of a model as a document: prose, and statements with ids, formulas and proofs.

`docs/theory.md` is the document of `two_strategies`, as `coopetition derive two_strategies --latex`
prints it.
"""

from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from coopetition.model.declaration import Model
from coopetition.model.presets import is_two_strategies
from coopetition.model.problem import Reduced
from coopetition.model.symbolic import Expression, Statement, Symbolic
from coopetition.theory.critical_points import critical_sets, list_is_complete, theorem_holds
from coopetition.theory.laws import NormLaw, norm_laws
from coopetition.theory.spelling import TIME, Spelling
from coopetition.theory.theorems import TWO_STRATEGIES

HEADING = """\
# The theory of the minimal model

Written by `coopetition derive {name} --latex`. Every equation with a name is a sympy object that is
proved when this page is written: its two sides are expanded and subtracted.
"""

MODEL = r"""
With targets $x^*$, a mechanism's loss $L_m$ is half the {convention} of the squared errors of its
tensor, and a cost $K$ half the {convention} of the squares of $x \otimes y$, over all entries.
$\mu_m$ is a mechanism's irreducible error, $\alpha$ the strength of a cost. For a factor $x$ of
length $N_x$ let $n_x = |x^*|$, $u_x = x \cdot x^* / n_x$ (its overlap), $w_x = |x - u_x x^* / n_x|$
(its orthogonal part) and $R_x = u_x^2 + w_x^2$. For a mechanism or cost, $S$ is the product of its
factors' $n_x$, and $N$ {size}.
"""

REDUCTION = r"""
The gradient of a factor lies in the plane of the factor and its target, so the orthogonal part
keeps its direction, and $(u_x, w_x)$ are all that moves: two numbers a factor, for every finite
step of descent as for the flow. (A step may make $w_x$ negative: a reflection.) The slopes below
are those that the code computes with, and are proved to be the derivatives of the losses above,
which in turn are proved to be the definition, written out entry by entry for vectors of two
entries: by rotation that is the plane of any $x$ and $x^*$.
"""

FLOW = r"""
Gradient flow is $\dot x = -r_x \partial L / \partial x$ with a rate $r_x$ for each factor (1 unless
it is given; 0 clamps the factor). Descent with step $h$ moves by $h$ times the same velocity. Two
quantities are monotone along the flow.
"""

LAWS = r"""
Moving a factor along itself rescales a mechanism, and it does so whichever factor of the mechanism
it is. So $x \cdot \partial L/\partial x$ has the same part from a mechanism for all of its factors,
and weights $c_x$ that add up to zero over every mechanism leave the costs alone. Summing over the
factors that move (clamped ones carry no weight), with $Q = \sum_x c_x R_x / r_x$,

$$
\dot Q = -4 \sum_k \alpha_k K_k \sum_{x \in k} c_x .
$$

All laws of this kind (there may be others) form the null space of the mechanism-factor incidence; a
basis of it follows. Descent obeys the same law with one more term of second order in the step and
none beyond it, so its drift from the flow's law is of first order in $h$ over a given time.
"""

CRITICAL = r"""
Let $T_m = \prod_{k \ne m} (L_k + \mu_k) (R_m - S_m P_m) / N_m$ with $P_m = \prod u_x$ and
$R_m = \prod R_x$. At a critical point $x \cdot \partial L / \partial x = 0$ for each $x$, that is

$$
\sum_{m \ni x} T_m + \sum_{k \ni x} 2 \alpha_k K_k = 0 .
$$

**Theorem.** If some law has a positive weight on every cost, every cost is zero at a critical
point. If, besides, the rows of the incidence are independent, every $T_m$ is zero, and each
mechanism with a nonzero prefactor is learnt to the end ($L_m = 0$) or not at all ($P_m = 0$).

*Proof.* The law's combination of the equations is $\sum_k \alpha_k K_k (\sum_{x \in k} c_x) = 0$
with positive coefficients. Without costs the equations say that $T$ lies in the left null space of
the incidence, so $T = 0$, hence $R_m = S_m P_m$ where the prefactor is not zero. If every $w_x$ of
the mechanism is zero, $R_m = P_m^2$ and $P_m$ is $0$ or $S_m$. If one is not, its slope
$\partial L / \partial w_x$ is a sum of terms of one sign times $w_x$, so the product of the other
$R$ is zero, and $P_m = 0$. $\square$

What is left is which mechanisms are learnt, and where the factors outside them are: zero, at right
angles to their targets, or free. That list is complete if a positive cost joins any two mechanisms
that share a factor; else their pulls on it can cancel, at further unlearnt points.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the document: prose in Markdown, then statements."""

    title: str
    prose: str
    statements: list[Statement]


class Derivation:
    """Definition, reduction, flow, laws and critical points of a model, each statement proved."""

    def __init__(self, name: str, model: Model) -> None:
        self.name, self.model = name, model
        self._symbolic = Symbolic(model)
        self._spelling = Spelling(self._symbolic)

    @cached_property
    def sections(self) -> list[Section]:
        """The document, in order."""
        sections = [
            Section("The model", self._describe(), self._definition()),
            Section("Exact reduction", REDUCTION, self._slopes()),
            Section("Flow and descent", FLOW, self._monotone()),
            Section("Laws", LAWS, self._laws()),
            Section("Critical points", CRITICAL + self._critical_sets(), []),
        ]
        if is_two_strategies(self.model):
            sections += [
                Section(title, prose, list(statements(self._symbolic)))
                for title, prose, statements in TWO_STRATEGIES
            ]
        return sections

    @property
    def statements(self) -> list[Statement]:
        """Every statement, in order."""
        return [statement for section in self.sections for statement in section.statements]

    def text(self) -> str:
        """The statements, for a terminal."""
        lines = []
        for section in self.sections:
            if section.statements:
                lines += ["", section.title, "-" * len(section.title)]
            for statement in section.statements:
                mark = "proved" if statement.proved else "NOT PROVED"
                lines += [f"{statement.id}: {statement.says}  [{mark}]", f"    {statement.text()}"]
        return "\n".join(lines).lstrip() + "\n"

    def markdown(self) -> str:
        """The whole document, with mathematics that renders on the web."""
        parts = [HEADING.format(name=self.name)]
        for number, section in enumerate(self.sections, 1):
            parts.append(f"## {number}. {section.title}\n\n{section.prose.strip()}\n")
            for each in section.statements:
                mark = "" if each.proved else " **(not proved)**"
                parts.append(f"**`{each.id}`** {each.says}{mark}:\n\n$$\n{each.latex()}\n$$\n")
        return "\n".join(parts)

    def _describe(self) -> str:
        model = self.model
        mechanisms = "; ".join(
            rf"*{m.name}* builds the tensor ${_outer(m.factors)}$" for m in model.mechanisms
        )
        pairs = ", ".join(f"${_outer(c.factors)}$ (*{c.name}*)" for c in model.costs)
        costs = f" Costs of being active together: {pairs}." if model.costs else ""
        size = "that of their lengths" if model.convention == "mean" else "is 1"
        prose = MODEL.replace("{convention}", model.convention).replace("{size}", size)
        return f"Factors ${', '.join(model.factors)}$ are vectors; {mechanisms}.{costs}\n{prose}"

    def _state(
        self, id: str, says: str, left: Expression, right: Expression, true: Expression
    ) -> Statement:
        """A statement that `right`, as it is spelt, is `true`, in the model's own symbols."""
        residual = self._spelling.written_out(right - true)
        return Statement(id, says, left, right, residual)

    def _definition(self) -> list[Statement]:
        spelling, losses = self._spelling, self._symbolic.losses
        definition, products = self._symbolic.definition(), self._symbolic.products
        spelt = {
            name: spelling.total if name == "total" else spelling.in_squares(value)
            for name, value in losses.items()
        }
        kinds = dict.fromkeys(self._symbolic.strength, "a cost") | {"total": "what is minimised"}
        return [
            Statement(
                f"loss_{name}",
                kinds.get(name, "a mechanism's loss"),
                spelling.loss[name],
                right,
                spelling.written_out(right).subs(products) - definition[name],
            )
            for name, right in spelt.items()
        ]

    def _slopes(self) -> list[Statement]:
        return [
            self._state(
                f"slope_{symbol}",
                "a slope of the loss",
                self._spelling.slope_sign(symbol),
                self._spelling.slope(symbol),
                slope,
            )
            for symbol, slope in self._symbolic.gradient.items()
        ]

    def _monotone(self) -> list[Statement]:
        s, spelling = self._symbolic, self._spelling
        rates = dict(zip(s.state, [*s.rate.values()] * 2, strict=True))
        shown = -sum((r * spelling.slope_sign(x) ** 2 for x, r in rates.items()), sp.Integer(0))
        total = s.losses["total"]
        # dL/dt is the sum of dL/dx dx/dt; a mark for each x keeps the terms apart
        misses = (
            sp.Symbol(f"mark_{x}") * (sp.diff(total, x) - slope) for x, slope in s.gradient.items()
        )
        statements = [
            Statement(
                "loss_falls",
                "the loss never rises along the flow, as its slopes are what the flow follows",
                sp.Derivative(spelling.loss["total"], TIME),
                shown,
                sum(misses, sp.Integer(0)),
            )
        ]
        for factor, w in s.w.items():
            right = sp.factor(-2 * s.rate[factor] * w * spelling.slope(w))
            left = sp.Derivative(w**2, TIME)
            says = "an orthogonal part never grows: every term has the same sign"
            rate = s.rate_of_change(w**2)
            statements.append(self._state(f"orthogonal_{factor}", says, left, right, rate))
        return statements

    def _laws(self) -> list[Statement]:
        return [
            statement
            for number, law in enumerate(norm_laws(self.model), 1)
            for statement in (self._law(number, law), self._step(number, law))
        ]

    def _law_rate(self, law: NormLaw) -> Expression:
        costs = self._symbolic.strength, self._spelling.loss
        terms = (-4 * c * costs[0][name] * costs[1][name] for name, c in law.costs.items())
        return sum(terms, sp.Integer(0))

    def _law(self, number: int, law: NormLaw) -> Statement:
        s, square = self._symbolic, self._spelling.square
        shown, true = (
            sum(c * squares(f) / s.rate[f] for f, c in law.coefficients.items())
            for squares in (square.__getitem__, s.square)
        )
        says = "a quantity that the flow conserves" if law.conserved else "a budget of the costs"
        left = sp.Derivative(shown, TIME)
        return self._state(f"law_{number}", says, left, self._law_rate(law), s.rate_of_change(true))

    def _step(self, number: int, law: NormLaw) -> Statement:
        """The law's quantity after a descent step of size h, less what it was before."""
        s, spelling = self._symbolic, self._spelling
        h = sp.Symbol("h", positive=True)
        slope = {x: sp.Symbol(f"slope_{x}") for x in s.state}  # as symbols: its square is long
        entries = [(c, s.rate[f], x) for f, c in law.coefficients.items() for x in (s.u[f], s.w[f])]
        change = sum(c * ((x - h * r * slope[x]) ** 2 - x**2) / r for c, r, x in entries)
        second = sum(c * r * slope[x] ** 2 for c, r, x in entries)
        shown = sum(c * r * spelling.slope_sign(x) ** 2 for c, r, x in entries)
        first = h * self._law_rate(law)
        linear = sp.expand(change - h**2 * second)
        back = {symbol: s.gradient[x] for x, symbol in slope.items()}
        return Statement(
            f"step_{number}",
            "the same for one step of descent of size h, exactly",
            sp.Symbol(rf"\Delta_{number}"),
            first + h**2 * shown,
            linear.subs(back) - spelling.written_out(first),
        )

    def _critical_sets(self) -> str:
        names = self.model.factors
        reduced = Reduced(self.model, dict.fromkeys(names, 3), dict.fromkeys(names, 1.0))
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
        for each in critical_sets(reduced):
            counts = ", ".join(str(each.spectrum.count(sign)) for sign in (-1, 0, 1))
            kind = each.kind.name.lower()
            lines.append(f"| {each.describe()} | {each.dimension} | {counts} | {kind} |")
        return "\n" + "\n".join(lines)


def _outer(factors: tuple[str, ...]) -> str:
    return r" \otimes ".join(factors)
