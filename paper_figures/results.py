"""The verdict on every claim of the coopetition paper, by the rule of `claim`, at every scale."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paper_figures.claim import Claim, Judgement, Verdict
from paper_figures.figure import Figure, figures_of

PAPER = "coopetition"
MISSED = (Verdict.CONTRADICTED, Verdict.SHAPE_ONLY)


@dataclass(frozen=True, slots=True)
class Result:
    """A claim of a figure, and what our runs of one scale say of it.

    scale : of the runs; `toy` of a figure of none, and empty where none are kept
    """

    figure: Figure
    claim: Claim
    scale: str
    judgement: Judgement

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "figure": self.figure.number,
            "claim": self.claim.text,
            "published": str(self.claim.published or "") or None,
            "scale": self.scale,
        } | self.judgement.to_dict()


def judged() -> list[Result]:
    """Every claim, in the order of the paper's figures."""
    return [
        result
        for figure in figures_of(PAPER).values()
        if figure.claims
        for result in _of_figure(figure)
    ]


def _of_figure(figure: Figure) -> list[Result]:
    kept = {f"{scale}": found for scale, found in figure.kept_at().items()}
    if not figure.needs:
        kept = {"toy": []}
    results = []
    for claim in figure.claims:
        of_scales = [Result(figure, claim, scale, claim.judge(*f)) for scale, f in kept.items()]
        told = [each for each in of_scales if each.judgement.readings]
        nothing = Result(figure, claim, "", Judgement(Verdict.NOT_TESTED, ()))
        results += told or [nothing]
    return results


def numbers_of(result: Result) -> str:
    """Our number: the mean, and the range of several."""
    judgement, published = result.judgement, result.claim.published
    if published is None or judgement.mean is None:
        return ""
    low, high = (published.told(end) for end in (min(judgement.values), max(judgement.values)))
    span = f" ({low} to {high})" if len(judgement.values) > 1 else ""
    return published.told(judgement.mean) + span


def result_rows(results: Iterable[Result]) -> list[dict[str, str]]:
    """Of each claim, the cells of a table."""
    return [
        {
            "figure": each.figure.number,
            "claim": each.claim.text,
            "paper": str(each.claim.published or ""),
            "ours": numbers_of(each),
            "holds in": f"{each.judgement.n_held} of {each.judgement.n_told}"
            + _short(each.judgement),
            "scale": each.scale,
            "verdict": each.judgement.verdict.value,
        }
        for each in results
    ]


def _short(judgement: Judgement) -> str:
    """How many runs are too short to tell."""
    n = len(judgement.readings) - judgement.n_told
    return f", {n} too short" if n else ""


def results_table() -> str:
    """The table in Markdown."""
    rows = result_rows(judged())
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(row.values())} |" for row in rows]
    return "\n".join(lines)


def counts() -> str:
    """How many claims have each verdict, in a sentence; a claim at two scales counts at the larger.

    The scale *paper* comes last of a claim's, and is the larger.
    """
    last = {(each.figure.slot, each.claim.text): each.judgement.verdict for each in judged()}
    found = [*last.values()]
    told = ", ".join(f"{found.count(verdict)} {verdict.value}" for verdict in Verdict)
    return f"Of {len(found)} claims: {told}."


def explanations() -> str:
    """Of claims that are not reproduced, the best explanation that was tested; a list."""
    lines = {
        f"- {each.figure.number}, *{each.claim.text}*: {each.claim.explained}": None
        for each in judged()
        if each.claim.explained and each.judgement.verdict in MISSED
    }
    return "\n".join(lines)
