"""The theory of a model as a document: a page of prose, with its statements put in and proved.

The prose is `family.md`, and `two_strategies.md` for that model.  There a line <<pattern>> stands
for the statements whose ids match it, and [[word]] for words about the model.  `docs/theory.md` is
what `coopetition derive two_strategies --latex` prints.
"""

import re
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.resources import files

import sympy as sp

from coopetition.model.declaration import Model
from coopetition.model.presets import is_two_strategies
from coopetition.model.problem import Problem
from coopetition.model.symbolic import Symbolic
from coopetition.theory.critical_points import critical_sets, list_is_complete, theorem_holds
from coopetition.theory.language import Language
from coopetition.theory.statements import Statement, family_statements, is_exact
from coopetition.theory.two_strategies import two_strategies_statements

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
        problem = Problem.of_numbers(self.model, dict.fromkeys(names, 3), dict.fromkeys(names, 1.0))
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
