"""The verdict on every claim of the coopetition paper, by the rule of `claim`, at every scale."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from coopetition.tools.files import markdown_table
from paper_figures.core.claims import Claim, Judgement, Verdict
from paper_figures.core.figure import Figure, figures_of

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
            "contradiction": self.claim.contradiction,
            "published": asdict(self.claim.published) if self.claim.published else None,
            "scale": self.scale,
        } | self.judgement.to_dict()


@cache
def judged() -> tuple[Result, ...]:
    """Every claim, in the order of the paper's figures."""
    figures = [each for each in figures_of(PAPER).values() if each.claims]
    return tuple(result for figure in figures for result in _of_figure(figure))


def _of_figure(figure: Figure) -> list[Result]:
    kept: dict[str, list[list[Any]]] = {**figure.kept_at()}
    if figure.of_several_scales:
        kept = {"both": next(iter(kept.values()))} if kept else {}
    if not figure.needs:
        kept = {"toy": []}
    results = []
    for claim in figure.claims:
        of_scales = [Result(figure, claim, scale, claim.judge(*f)) for scale, f in kept.items()]
        told = [each for each in of_scales if each.judgement.readings]
        nothing = Result(figure, claim, "", Judgement())
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
            "holds in": _held(each.judgement),
            "runs": str(each.judgement.n_runs),
            "pairs of seeds": str(each.judgement.n_seed_pairs),
            "scale": each.scale,
            "verdict": each.judgement.verdict.value,
        }
        for each in results
    ]


def _held(judgement: Judgement) -> str:
    """Return in how many readings a claim holds, of the decisive ones, and how many are not."""
    n = len(judgement.readings) - judgement.n_told
    return f"{judgement.n_held} of {judgement.n_told}" + (f" ({n} inconclusive)" if n else "")


def results_table() -> str:
    """Return the table in Markdown, with the result that would contradict each claim."""
    rows = [
        row | {"contradicted if": each.claim.contradiction}
        for each, row in zip(judged(), result_rows(judged()), strict=True)
    ]
    return markdown_table(list(rows[0]), (row.values() for row in rows))


def counts() -> str:
    """How many of the paper's claims have each verdict, a line a scale, and how many none."""
    results = [each for each in judged() if not each.claim.ours]
    claims = {(each.figure.slot, each.claim.text) for each in results}
    lines = [
        f"We judge {len(claims)} claims of the paper, some of them at two scales:",
        "",
    ]
    for scale in ("paper", "cpu", "toy"):
        own = [each.judgement for each in results if each.scale == scale]
        verdicts = [each.verdict for each in own]
        told = ", ".join(
            f"{verdicts.count(verdict)} {verdict.value}"
            for verdict in Verdict
            if verdict in verdicts
        )
        lines.append(f"- {_judged_by(scale, own)}: {told}")
    untested = sum(each.judgement.verdict is Verdict.NOT_TESTED for each in results)
    ours = len({each.claim.text for each in judged() if each.claim.ours})
    lines += [f"- not tested yet: {untested}", "", f"In addition we make {ours} claims of our own."]
    return "\n".join(lines)


PLACES = {"paper": "at the paper's scale", "cpu": "at scale cpu", "toy": "on the minimal model"}


def _judged_by(scale: str, judgements: list[Judgement]) -> str:
    """Return how many claims are judged at a scale, and on which runs and seeds they rest."""
    start = f"{len(judgements)} claims {PLACES[scale]}"
    by_run = Counter(own.readings[0].run for own in judgements if own.n_runs == 1)
    pairs = {each.seeds for own in judgements for each in own.readings}
    alone = sum(own.n_seed_pairs == 1 for own in judgements)
    if alone < len(judgements) or len(pairs) > 1:
        return start + (f", {alone} of them judged by a single pair of seeds" if alone else "")
    (run, most), *others = by_run.most_common()
    seeds = next(iter(pairs))
    seed = f" (seed {seeds[0]})" if seeds else ""
    if not others and most == len(judgements):
        return f"{start}, all judged by the same run{seed}"
    name = run.partition("/")[2].partition(" ")[0]
    return f"{start}, all judged by the same pair of seeds{seed}, {most} of them by one run, {name}"


def explained(result: Result) -> str:
    """Why a claim may not be reproduced: the best explanation that was tested, if one was.

    Of what is not at scale cpu, whether it is at the paper's rate, unless numbers are alike there.
    """
    if result.claim.explained:
        return result.claim.explained
    at_paper = [each for each in judged() if each.claim is result.claim and each.scale == "paper"]
    for other in at_paper if result.scale == "cpu" else ():
        if other.judgement.verdict is Verdict.REPRODUCED and not _alike(result, other):
            return f"at the paper's own rate it is reproduced ({_n_runs(other.judgement)})"
    return ""


def _n_runs(judgement: Judgement) -> str:
    return f"{judgement.n_runs} run{'s' * (judgement.n_runs > 1)}"


def _alike(one: Result, other: Result) -> bool:
    """Whether numbers of two scales are as near as a published one has to be."""
    published, a, b = one.claim.published, one.judgement.mean, other.judgement.mean
    if published is None or a is None or b is None:
        return False
    return replace(published, low=b, high=b).agrees(a)


def explanations() -> str:
    """Of claims that are not reproduced, the best explanation that was tested; a list."""
    scales: dict[tuple[str, str], list[str]] = {}
    for each in judged():
        if each.judgement.verdict in MISSED:
            claim = f"{each.figure.number}, *{each.claim.text}*"
            scales.setdefault((claim, explained(each)), []).append(each.scale)
    told = [f"- {claim} ({', '.join(own)}): {why}" for (claim, why), own in scales.items() if why]
    rest = [f"- {claim} ({', '.join(own)})" for (claim, why), own in scales.items() if not why]
    return "\n".join([*told, "", "No explanation was tested of:", "", *rest])
