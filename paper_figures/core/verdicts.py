"""The verdict on every claim of the coopetition paper, at every scale, and its page."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from coopetition.tools.files import markdown_table
from paper_figures.core.claims import Claim, Judgement, Verdict
from paper_figures.core.figure import Figure, Found, figures_of

PAPER = "coopetition"
NOT_REPRODUCED = (Verdict.CONTRADICTED, Verdict.SHAPE_ONLY)
SCALES = {"paper": "at the paper's scale", "cpu": "at scale cpu", "toy": "on the minimal model"}


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
            "figure": self.figure.number,
            "claim": self.claim.text,
            "contradiction": self.claim.contradiction,
            "published": asdict(self.claim.published) if self.claim.published else None,
            "scale": self.scale,
        } | self.judgement.to_dict()


@cache
def judge_claims() -> tuple[JudgedClaim, ...]:
    """Judge every claim at every scale with runs, in the order of the paper's figures."""
    figures = [figure for figure in figures_of(PAPER).values() if figure.claims]
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
            "figure": each.figure.number,
            "claim": each.claim.text,
            "paper": str(each.claim.published or ""),
            "ours": _our_number(each),
            "holds in": _holds_in(each.judgement),
            "runs": str(each.judgement.n_runs),
            "pairs of seeds": str(each.judgement.n_seed_pairs),
            "scale": each.scale,
            "verdict": each.verdict.value,
        }
        for each in judged
    ]


def _our_number(judged: JudgedClaim) -> str:
    """Return the mean of our numbers, and their range if there are several."""
    judgement, published = judged.judgement, judged.claim.published
    if published is None or judgement.mean is None:
        return ""
    low, high = (published.format(end(judgement.values)) for end in (min, max))
    span = f" ({low} to {high})" if len(judgement.values) > 1 else ""
    return published.format(judgement.mean) + span


def _holds_in(judgement: Judgement) -> str:
    """Return in how many of the conclusive readings a claim holds."""
    n = len(judgement.readings) - judgement.n_decisive
    return f"{judgement.n_held} of {judgement.n_decisive}" + (f" ({n} inconclusive)" if n else "")


def claims_table() -> str:
    """Return all claims in Markdown, with the result that would contradict each."""
    rows = [
        row | {"contradicted if": each.claim.contradiction}
        for each, row in zip(judge_claims(), claim_rows(judge_claims()), strict=True)
    ]
    return markdown_table(list(rows[0]), (row.values() for row in rows))


def verdict_counts() -> str:
    """Return how many claims have each verdict at each scale, as a list in Markdown."""
    judged = [each for each in judge_claims() if not each.claim.ours]
    n_claims = len({(each.figure.slot, each.claim.text) for each in judged})
    n_ours = len({each.claim.text for each in judge_claims() if each.claim.ours})
    lines = [f"We judge {n_claims} claims of the paper, some of them at two scales:", ""]
    for scale in SCALES:
        own = [each.judgement for each in judged if each.scale == scale]
        counts = Counter(each.verdict for each in own)
        texts = (f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
        lines.append(f"- {_basis(scale, own)}: {', '.join(texts)}")
    untested = sum(each.verdict is Verdict.NOT_TESTED for each in judged)
    lines += [
        f"- not tested yet: {untested}",
        "",
        f"In addition we make {n_ours} claims of our own.",
    ]
    return "\n".join(lines)


def _basis(scale: str, judgements: list[Judgement]) -> str:
    """Return how many claims are judged at a scale, and by which runs and seeds."""
    text = f"{len(judgements)} claims {SCALES[scale]}"
    n_single = sum(each.n_seed_pairs == 1 for each in judgements)
    pairs = {reading.seeds for each in judgements for reading in each.readings}
    if n_single < len(judgements) or len(pairs) > 1:
        return text + (f", {n_single} of them judged by a single pair of seeds" if n_single else "")
    by_run = Counter(each.readings[0].run for each in judgements if each.n_runs == 1)
    (run, n_of_run), *others = by_run.most_common()
    (seeds,) = pairs
    seed = f" (seed {seeds[0]})" if seeds else ""
    if n_of_run == len(judgements) and not others:
        return f"{text}, all judged by the same run{seed}"
    name = run.partition("/")[2].partition(" ")[0]
    return f"{text}, all judged by one pair of seeds{seed}, {n_of_run} of them by one run, {name}"


def explanation_of(judged: JudgedClaim) -> str:
    """Return the best explanation that was tested for a claim that is not reproduced, or "".

    At scale cpu, that may be the learning rate, unless our numbers are alike at the paper's rate.
    """
    if judged.claim.explanation or judged.scale != "cpu":
        return judged.claim.explanation
    for other in judge_claims():
        is_reproduced = other.scale == "paper" and other.verdict is Verdict.REPRODUCED
        if other.claim is judged.claim and is_reproduced and not _are_alike(judged, other):
            n = other.judgement.n_runs
            return f"at the paper's own rate it is reproduced ({n} run{'s' * (n > 1)})"
    return ""


def _are_alike(one: JudgedClaim, other: JudgedClaim) -> bool:
    """Return whether the numbers of two scales are as near as ours must be to the paper's."""
    published, a, b = one.claim.published, one.judgement.mean, other.judgement.mean
    if published is None or a is None or b is None:
        return False
    return replace(published, low=b, high=b).agrees(a)


def explanations() -> str:
    """Return the claims that are not reproduced, with explanations, as lists in Markdown."""
    scales: dict[tuple[str, str], list[str]] = {}
    for each in judge_claims():
        if each.verdict in NOT_REPRODUCED:
            claim = f"{each.figure.number}, *{each.claim.text}*"
            scales.setdefault((claim, explanation_of(each)), []).append(each.scale)
    lines = {key: f"- {key[0]} ({', '.join(own)})" for key, own in scales.items()}
    with_reason = [f"{line}: {reason}" for (_, reason), line in lines.items() if reason]
    without = [line for (_, reason), line in lines.items() if not reason]
    return "\n".join([*with_reason, "", "No explanation was tested for:", "", *without])
