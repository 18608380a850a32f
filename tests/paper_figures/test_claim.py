"""The rule of verdicts, and what it says of the kept runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper_figures.claim import Claim, Published, Reading, Verdict, verdict_of
from paper_figures.figure import figures_of
from paper_figures.needs import all_found
from paper_figures.results import counts, judged, result_rows

HALF = Published(0.5, 0.6)


def of(*holds, value=0.55):
    return tuple(Reading(f"run {k}", each, value) for k, each in enumerate(holds))


@pytest.mark.parametrize(
    ("readings", "published", "expected"),
    [
        ((), HALF, Verdict.NOT_TESTED),
        (of(None, None, True), HALF, Verdict.TOO_SHORT),
        (of(None, True), HALF, Verdict.REPRODUCED),
        (of(True, False), HALF, Verdict.CONTRADICTED),
        (of(True, True, False), HALF, Verdict.REPRODUCED),
        (of(True, value=0.39), HALF, Verdict.SHAPE_ONLY),
        (of(True, value=0.41), HALF, Verdict.REPRODUCED),
        (of(True, value=None), HALF, Verdict.SHAPE_ONLY),
        (of(True, value=None), None, Verdict.REPRODUCED),
        (of(False, value=0.55), HALF, Verdict.CONTRADICTED),
        (of(True, value=3.1e6), Published(2e6, 2e6, "sequences"), Verdict.SHAPE_ONLY),
        (of(True, value=2.9e6), Published(2e6, 2e6, "sequences"), Verdict.REPRODUCED),
        (of(True, value=1.4e6), Published(2e6, 2e6, "sequences"), Verdict.REPRODUCED),
    ],
)
def test_the_rule(readings, published, expected):
    assert verdict_of(readings, published) is expected


runs = st.builds(
    Reading,
    st.just("run"),
    st.sampled_from([True, False, None]),
    st.none() | st.floats(0, 1),
)


@given(st.lists(runs, max_size=6), st.randoms())
def test_no_verdict_depends_on_the_order_of_runs(readings, random):
    shuffled = random.sample(readings, len(readings))
    assert verdict_of(tuple(readings), HALF) is verdict_of(tuple(shuffled), HALF)


@given(st.lists(runs, min_size=1, max_size=6))
def test_a_run_that_holds_never_makes_it_worse_in_shape(readings):
    """What is reproduced stays so with one more run that shows it."""
    before = verdict_of(tuple(readings), None)
    after = verdict_of((*readings, Reading("more", True)), None)
    assert before is not Verdict.REPRODUCED or after is Verdict.REPRODUCED


def test_every_claim_of_every_figure_is_judged_and_told_once():
    told = judged()
    claims = [claim for figure in figures_of("coopetition").values() for claim in figure.claims]
    assert {each.claim for each in told} == set(claims) and len(set(claims)) == len(claims)
    rows = result_rows(told)
    assert all(row["verdict"] in {*Verdict} for row in rows)
    tested = [each for each in told if each.judgement.verdict is not Verdict.NOT_TESTED]
    assert all(each.scale and each.judgement.readings for each in tested)


def test_verdicts_are_recomputed_from_kept_runs():
    """Two that everything else stands on, by hand from the events of the kept runs."""
    figure = figures_of("coopetition")["1"]
    (runs, *_) = found = all_found(figure.needs)
    emerges, _, fades, *_ = figure.claims
    times = [run.timeline().fade * run.rate_ratio for run in runs]
    judgement = fades.judge(*found)
    assert sorted(judgement.values) == pytest.approx(sorted(times))
    assert judgement.n_held == len(runs) >= 3
    assert emerges.judge(*found).verdict is Verdict.REPRODUCED


def test_the_sentence_counts_every_claim_once():
    figures = figures_of("coopetition").values()
    n = sum(len(figure.claims) for figure in figures)
    told = counts()
    assert told.startswith(f"Of {n} claims: ")
    assert sum(int(part.split()[0]) for part in told.partition(": ")[2].split(", ")) == n


def test_a_claim_tells_what_it_was_judged_by():
    claim = Claim("x", lambda runs: [Reading(run, run == "a", 0.5) for run in runs], HALF)
    told = claim.judge(["a", "b", "a"]).to_dict()
    assert told == {
        "verdict": "reproduced",
        "n": 3,
        "n_told": 3,
        "n_held": 2,
        "mean": 0.5,
        "values": {"a": 0.5, "b": 0.5},
    }
