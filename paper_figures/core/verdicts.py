"""The verdict on every claim of a paper, at every scale, and the blocks of the page on them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from coopetition.tools.files import markdown_table
from paper_figures.core.claims import Claim, Judgement, Verdict
from paper_figures.core.figure import Figure, Found, figures_of, papers

NOT_REPRODUCED = (Verdict.CONTRADICTED, Verdict.SHAPE_ONLY)


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A claim of a figure, and what our runs of one scale say about it.

    scale : of the runs; `toy` for the minimal model, `both` for two scales, empty without runs
    """

    figure: Figure
    claim: Claim
    scale: str
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """Return the verdict."""
        return self.judgement.verdict

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "paper": self.figure.paper,
            "figure": self.figure.number,
            "claim": self.claim.text,
            "contradiction": self.claim.contradiction,
            "published": asdict(self.claim.published) if self.claim.published else None,
            "scale": self.scale,
        } | self.judgement.to_dict()


def papers_with_claims() -> list[str]:
    """Return the papers and studies with figures that make claims."""
    return [paper for paper in papers() if any(each.claims for each in figures_of(paper).values())]


@cache
def judge_claims(paper: str) -> tuple[JudgedClaim, ...]:
    """Judge every claim of a paper at every scale with runs, in the order of its figures."""
    figures = [figure for figure in figures_of(paper).values() if figure.claims]
    return tuple(judged for figure in figures for judged in _judge_figure(figure))


def _judge_figure(figure: Figure) -> list[JudgedClaim]:
    found: dict[str, Found] = {**figure.find_all()}
    if figure.of_several_scales:
        found = dict(zip(("both",), found.values(), strict=False))
    if not figure.needs:
        found = {"toy": []}
    judged = []
    for claim in figure.claims:
        of_scales = [JudgedClaim(figure, claim, at, claim.judge(*own)) for at, own in found.items()]
        tested = [each for each in of_scales if each.judgement.readings]
        judged += tested or [JudgedClaim(figure, claim, "", Judgement())]
    return judged


def claim_rows(judged: Iterable[JudgedClaim]) -> list[dict[str, str]]:
    """Return a row of text per claim and scale."""
    return [
        {
            "figure": f"{each.figure.paper} {each.figure.slot}",
            "claim": each.claim.text,
            "scale": each.scale,
            "verdict": each.verdict.value,
            "published": str(each.claim.published or ""),
            "ours": each.judgement.format_numbers(),
            "holds in": _holds_in(each.judgement),
            "runs": str(each.judgement.n_runs),
            "seed pairs": str(each.judgement.n_seed_pairs),
        }
        for each in judged
    ]


def _holds_in(judgement: Judgement) -> str:
    """Return in how many of the conclusive readings a claim holds."""
    n_inconclusive = len(judgement.readings) - judgement.n_decisive
    parts = [f"{judgement.n_held} of {judgement.n_decisive}"] if judgement.n_decisive else []
    parts += [f"{n_inconclusive} inconclusive"] if n_inconclusive else []
    return ", ".join(parts)


def claims_table(paper: str) -> str:
    """Return all claims in Markdown, with the result that would contradict each.

    Cells that the rows of a claim share are printed in its first row only.
    """
    rows, before = [], None
    for each, row in zip(judge_claims(paper), claim_rows(judge_claims(paper)), strict=True):
        row |= {"figure": each.figure.number, "contradicted if": each.claim.contradiction}
        if each.claim is before:
            row |= dict.fromkeys(("figure", "claim", "published", "contradicted if"), "")
        if each.verdict is Verdict.NOT_TESTED:
            row |= dict.fromkeys(("runs", "seed pairs"), "")
        before = each.claim
        rows.append(row)
    return markdown_table(list(rows[0]), (row.values() for row in rows))


def verdict_counts(paper: str) -> str:
    """Return how many of a paper's claims have each verdict at each scale, in Markdown."""
    judged = [each for each in judge_claims(paper) if not each.claim.ours]
    by_scale: dict[str, list[Judgement]] = {}
    for each in judged:
        if each.scale:
            by_scale.setdefault(each.scale, []).append(each.judgement)
    counts = {at: Counter(each.verdict for each in own) for at, own in by_scale.items()}
    shown = [verdict for verdict in Verdict if any(own[verdict] for own in counts.values())]
    rows = [
        [f"`{at}`", str(len(own)), str(sum(each.n_seed_pairs == 1 for each in own))]
        + [str(counts[at][verdict]) for verdict in shown]
        for at, own in by_scale.items()
    ]
    heads = ["scale", "claims", "tested with one seed pair only", *shown]
    n_claims = len({(each.figure.slot, each.claim.text) for each in judged})
    n_ours = len({each.claim.text for each in judge_claims(paper) if each.claim.ours})
    n_untested = sum(each.verdict is Verdict.NOT_TESTED for each in judged)
    several = "some of them tested at several scales, " if len(by_scale) > 1 else ""
    return (
        f"Claims of the paper: {n_claims}, {several}{n_untested} not tested yet. "
        f"Claims of our own: {n_ours}.\n"
        "A row of the table is a scale; its numbers count the paper's claims:\n\n"
        f"{markdown_table(heads, rows)}"
    )


def explanations(paper: str) -> str:
    """Return the explanations of claims that are not reproduced, as a list in Markdown."""
    scales: dict[tuple[str, str], list[str]] = {}
    for each in judge_claims(paper):
        if each.claim.explanation and each.verdict in NOT_REPRODUCED:
            number = each.figure.number
            where = f"figure {number}" if number.isdigit() else number
            claim = f"{where}, *{each.claim.text}*"
            scales.setdefault((claim, each.claim.explanation), []).append(each.scale)
    return "\n".join(
        f"- {claim} ({', '.join(at)}): {reason}" for (claim, reason), at in scales.items()
    )
