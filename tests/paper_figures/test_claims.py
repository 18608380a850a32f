"""The rule of verdicts, and what it says of the kept runs."""

import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper_figures.coopetition import events
from paper_figures.core.claims import Claim, Judgement, Published, Reading, Verdict
from paper_figures.core.figure import figures_of
from paper_figures.core.runs import FigureRun, find_needs
from paper_figures.core.verdicts import (
    claim_rows,
    claims_table,
    explanations,
    judge_claims,
    papers_with_claims,
    verdict_counts,
)

HALF = Published(0.5, 0.6)
claim_of = partial(Claim, "x", contradiction="it is otherwise")


def of(*holds, value=0.55):
    return tuple(Reading(f"run {k}", each, value) for k, each in enumerate(holds))


def judged_figure(slot, scale="cpu"):
    """Return the judgements of a figure's claims, by text."""
    figure = figures_of("coopetition")[slot]
    found = find_needs(figure.needs, scale=scale)
    return {claim.text: claim.judge(*found) for claim in figure.claims}


TWO_MILLION = Published(2e6, 2e6, "sequences")


@pytest.mark.parametrize(
    ("readings", "published", "needed", "expected"),
    [
        ((), HALF, None, "not tested"),
        (of(None, None, True), HALF, None, "horizon too short"),
        (of(None, True), HALF, None, "horizon too short"),
        (of(None, True, True), HALF, None, "reproduced"),
        (of(None, False), HALF, None, "contradicted"),
        (of(None, False, True, True), HALF, None, "horizon too short"),
        (of(None, None), HALF, None, "horizon too short"),
        (of(True, False), HALF, None, "contradicted"),
        (of(True, True, False), HALF, None, "reproduced"),
        (of(True, value=0.39), HALF, None, "shape only"),
        (of(True, value=0.41), HALF, None, "reproduced"),
        (of(True, value=None), HALF, None, "shape only"),
        (of(True, value=None), None, None, "reproduced"),
        (of(False, value=0.55), HALF, None, "contradicted"),
        (of(True, value=3.1e6), TWO_MILLION, None, "shape only"),
        (of(True, value=2.9e6), TWO_MILLION, None, "reproduced"),
        (of(True, value=1.4e6), TWO_MILLION, None, "reproduced"),
        # the number of an inconclusive run is left out; too few have a number
        ((*of(True, True), *of(None, value=9.0)), HALF, None, "reproduced"),
        ((*of(True), *of(True, True, value=None)), HALF, None, "shape only"),
        (of(True, True, False), HALF, 2 / 3, "reproduced"),
        (of(True, True, False), HALF, 1, "contradicted"),
        (of(True, True, None), HALF, 1, "horizon too short"),
        (of(True, False, None), HALF, 1, "contradicted"),
    ],
)
def test_the_rule(readings, published, needed, expected):
    claim = claim_of(lambda: list(readings), published, needed=needed)
    assert claim.judge().verdict == expected
    noisy = [replace(each, if_inconclusive=Verdict.UNDECIDED) for each in readings]
    found = claim_of(lambda: noisy, published, needed=needed).judge().verdict
    assert found == ("undecided" if expected == "horizon too short" else expected)


readings = st.builds(
    Reading, st.just("run"), st.sampled_from([True, False, None]), st.none() | st.floats(0, 1)
)


@given(st.lists(readings, min_size=1, max_size=6), st.randoms())
def test_the_order_of_runs_does_not_matter_and_a_run_that_holds_does_no_harm(readings, random):
    before = Judgement(tuple(readings), HALF).verdict
    shuffled = random.sample(readings, len(readings))
    assert Judgement(tuple(shuffled), HALF).verdict is before
    shape = Judgement(tuple(readings), None).verdict
    after = Judgement((*readings, Reading("more", True)), None).verdict
    assert shape is not Verdict.REPRODUCED or after is Verdict.REPRODUCED


def test_a_judgement_lists_its_readings():
    claim = claim_of(lambda runs: [Reading(run, run == "a", 0.5) for run in runs], HALF)
    record = claim.judge(["a", "b", "a"]).to_dict()
    assert (record["verdict"], record["n"], record["n_decisive"], record["n_held"]) == (
        "reproduced", 3, 3, 2,
    )  # fmt: skip
    own = {"run": "b", "holds": False, "value": 0.5, "n_runs": 1, "seeds": ()}
    assert own.items() <= record["readings"][1].items()


def test_every_claim_of_every_paper_is_judged_once_per_scale():
    for paper in papers_with_claims():
        judged = judge_claims(paper)
        claims = [claim for figure in figures_of(paper).values() for claim in figure.claims]
        assert {each.claim for each in judged} == set(claims) and len(set(claims)) == len(claims)
        rows = [(row["figure"], row["claim"], row["scale"]) for row in claim_rows(judged)]
        assert len(set(rows)) == len(rows)
        tested = [each for each in judged if each.verdict is not Verdict.NOT_TESTED]
        assert all(each.scale and each.judgement.readings for each in tested)
        assert all(len(each.claim.contradiction.split()) >= 3 for each in judged)


def test_verdicts_are_recomputed_from_kept_runs():
    """Two that everything else rests on, by hand from the curves of the kept runs."""
    (runs, *_) = find_needs(figures_of("coopetition")["1"].needs)
    emerges, _, fades, *_ = judged_figure("1").values()
    times = [10 * _fade(run.curves()) for run in runs]
    assert sorted(fades.values) == pytest.approx(sorted(times), rel=0.02)
    assert fades.n_held == len(runs) >= 3
    assert emerges.verdict is Verdict.REPRODUCED
    assert fades.verdict is Verdict.SHAPE_ONLY, "at ten times the rate ICL fades late"
    at_paper = [*judged_figure("1", "paper").values()][2]
    assert at_paper.verdict is Verdict.REPRODUCED and at_paper.n_decisive == 3


def _fade(curves):
    """Return the first sample after its peak at which Flip is below one half."""
    flip = curves.values["flip"]
    after = int(flip.argmax())
    return float(curves.sequences[after:][flip[after:] < 0.5][0])


def run(emergence=None, fade=None, peak=0.5, icl_peak=0.5, lasts=20.0, seed=5):
    """Return as much of a run as events read; `lasts` in millions of the paper's sequences."""
    timeline = SimpleNamespace(
        emergence=emergence, fade=fade, flip_peak=peak, icl_peak=icl_peak, ciwl_90=None
    )
    return SimpleNamespace(
        name="run",
        init_seed=seed,
        rate_ratio=10.0,
        timeline=lambda: timeline,
        lasts=lambda millions: lasts >= millions,
    )


@pytest.mark.parametrize(
    ("made", "emerges", "fades", "at_chance"),
    [
        (run(), False, False, True),
        (run(lasts=10.0), None, None, None),
        (run(emergence=2e5, icl_peak=0.9), True, False, False),
        (run(emergence=2e5, icl_peak=0.9, lasts=10.0), True, None, False),
        (run(emergence=2e5, fade=9e5, icl_peak=0.9, lasts=10.0), True, True, False),
        (run(icl_peak=0.9), False, False, False),
        (run(emergence=3e6, fade=4e6, icl_peak=0.9, lasts=64.0), True, True, False),
    ],
)
def test_a_short_run_is_inconclusive_about_what_has_not_happened(made, emerges, fades, at_chance):
    assert events.emerges(made) is emerges and events.fades(made) is fades
    assert events.stays_at_chance(made) is at_chance


def test_earlier_compares_runs_of_the_same_seed():
    others = [run(emergence=3e5, seed=5), run(emergence=1e5, seed=6), run(seed=7)]
    holds = events.comes_earlier("emergence", others)
    assert holds(run(emergence=2e5, seed=5)) and not holds(run(emergence=2e5, seed=6))
    assert holds(run(emergence=2e5, seed=7)) and holds(run(seed=7)) is None
    assert holds(run(emergence=2e5, seed=8)) is None, "no other run of its seed"
    assert holds(run(seed=5)) is False, "not by its end, which is later"
    assert holds(run(seed=5, lasts=2.0)) is None, "it ends before the other's came"
    short = events.comes_earlier("emergence", [run(seed=5, lasts=1.0)])
    assert short(run(emergence=2e5, seed=5)) is None, "the other ends before its own came"
    assert events.event_time("emergence")(others[0]) == 3e6


def test_the_clock_of_a_run_is_that_of_its_preset():
    deep = {"preset": "coopetition/deep", "config": {"optim": {"learning_rate": 3e-4}}}
    assert FigureRun("deep", None, deep).rate_ratio == 1
    main = {"preset": "coopetition/main", "config": {"optim": {"learning_rate": 1e-4}}}
    assert FigureRun("main", None, main).rate_ratio == pytest.approx(10)


def test_explanations_are_those_of_claims_that_are_not_reproduced():
    text = explanations("coopetition")
    for each in judge_claims("coopetition"):
        is_missed = each.verdict in (Verdict.SHAPE_ONLY, Verdict.CONTRADICTED)
        if each.claim.explanation and is_missed:
            assert f"*{each.claim.text}*" in text and each.claim.explanation in text


def test_runs_and_pairs_of_seeds_are_counted_once():
    parts = (Reading("a", True, part="peak"), Reading("a", True, part="end"))
    assert Judgement(parts).n_runs == 1
    grid = Judgement((Reading("the grid", True, n_runs=12),))
    assert (grid.n_runs, grid.n_seed_pairs) == (12, 12)
    by_text = judged_figure("4")
    grafts = next(own for text, own in by_text.items() if "before 9.8M" in text)
    assert (grafts.n_runs, grafts.n_seed_pairs) == (4, len({e.seeds for e in grafts.readings}))
    assert grafts.n_seed_pairs < grafts.n_runs, "of one parent"
    late = next(own for text, own in by_text.items() if "7M or later" in text)
    assert (late.n_runs, late.n_seed_pairs) == (6, 3)
    rows = claim_rows(judge_claims("coopetition"))
    row = next(row for row in rows if "7M or later" in row["claim"])
    assert (row["runs"], row["seed pairs"]) == ("6", "3")


def test_the_counts_add_up():
    judged = [each for each in judge_claims("coopetition") if not each.claim.ours]
    first, *lines = verdict_counts("coopetition").splitlines()
    assert f"of the paper: {len({each.claim for each in judged})}," in first
    rows = [re.findall(r"(?<= )\d+(?= )", line) for line in lines if line.startswith("| `")]
    for n_claims, _, *counts in rows:
        assert int(n_claims) == sum(map(int, counts))
    assert sum(int(row[0]) for row in rows) == sum(bool(each.scale) for each in judged)


def test_one_run_is_not_every_seed():
    figure = figures_of("coopetition")["7"]
    (runs, *others) = find_needs(figure.needs, scale="paper")
    assert len({run.init_seed for run in runs}) == 3
    for few, verdict in ((runs, Verdict.REPRODUCED), (runs[:1], Verdict.NOT_TESTED)):
        assert {claim.judge(few, *others).verdict for claim in figure.claims} == {verdict}


SHAPE_BUT_NOT_THE_NUMBER = {  # figure, start of the claim: a number with which the shape may hold
    ("section 4", "the first layer serves"): 0.92,  # above 0.9
    ("section 4", "with only queries"): 0.91,
    ("section 4", "with only keys"): 0.72,  # below 0.75
    ("section 4", "with only values"): 0.72,
    ("section 4", "the heads of the second"): 0.92,
    ("section 4", "the query alone"): 0.8,  # above 0.55
    ("1", "ICL is preferred at its peak"): 0.9,  # above one half
    ("1", "at 20M ICL is no longer"): 0.08,  # below 0.1
    ("1", "at 20M ICL is mostly"): 0.68,  # below 0.7
    ("2", "CIWL is attention"): 0.6,  # more than to the other label
    ("2", "every head alone"): 0.98,  # above 0.8
    ("3", "induction strength"): -0.15,  # below -0.1
    ("4", "in ordinary training from a CIWL-only run at 4M"): 0.6,  # above one half
    ("4", "in ordinary training from a CIWL-only run at 5M"): 0.6,
    ("4", "in ordinary training from a CIWL-only run at 6M"): 0.6,
    ("6", "2 layers, matched data: ICL stays"): 0.7,  # above one half
    ("6", "12 layers, ordinary data"): 0.6,
    ("6", "12 layers, matched data"): 0.7,
    ("8", "sinusoidal positions: ICL"): 0.58,  # below 0.6
    ("8", "rotary positions: ICL"): 0.58,
    ("9", "1,600 classes, 5 exemplars: labels"): 0.15,  # below 0.2
    ("10", "12,800 classes, 5 exemplars: ICL rises"): 0.4,  # 0.1 above its lowest
    ("10", "1,600 classes, 5 exemplars: labels"): 0.25,  # above 0.2
    ("11", "in the end (from 150M on) ICL"): 0.42,  # below one half
    ("11", "in the end (from 150M on) Flip"): 0.06,  # below 0.1
    ("11", "in the end (from 150M on) labels"): 0.04,  # below 0.05
    ("12", "CIWL is attention"): 0.6,
    ("13", "one layer: ICL accuracy"): 0.58,
    ("14", "after emergence"): 0.5,  # twice the next head's
    ("15", "the sharper"): 0.95,  # the sharper the better
    ("15", "all heads together"): 0.9,  # better than any alone
    ("18", "without three heads of the first layer ICL still"): 0.95,
}


def test_the_table_shows_each_claim_once_with_the_result_that_would_contradict_it():
    rows = claims_table("coopetition").splitlines()
    for number, claim in {(each.figure.number, each.claim) for each in judge_claims("coopetition")}:
        (row,) = (row for row in rows if row.startswith(f"| {number} | {claim.text} |"))
        assert row.endswith(f"| {claim.contradiction} |")


def test_every_number_can_disagree_where_the_shape_holds():
    checked = set()
    for figure in figures_of("coopetition").values():
        for claim in figure.claims:
            if claim.published is None or claim.published.unit in ("sequences", "nats"):
                continue
            (key,) = (
                (number, start)
                for number, start in SHAPE_BUT_NOT_THE_NUMBER
                if number == figure.number and claim.text.startswith(start)
            )
            reading = Reading("run", True, SHAPE_BUT_NOT_THE_NUMBER[key])
            assert Judgement((reading,), claim.published).verdict is Verdict.SHAPE_ONLY, claim.text
            assert claim.published.agrees((claim.published.low + claim.published.high) / 2)
            checked.add(key)
    assert checked == SHAPE_BUT_NOT_THE_NUMBER.keys()


@given(st.floats(0.001, 0.999))
def test_shares_are_compared_by_their_odds(value):
    low, high = Published.of(value).accepted_range
    mirrored = Published.of(1 - value).accepted_range
    assert (1 - high, 1 - low) == pytest.approx(mirrored)
    assert low <= value - 0.02 and value + 0.02 <= high and high - low < 0.21
    odds = value / (1 - value)
    assert Published.of(value).agrees(1.49 * odds / (1 + 1.49 * odds))
    if 0.2 < value < 0.8:
        assert not Published.of(value).agrees(1.51 * odds / (1 + 1.51 * odds))
