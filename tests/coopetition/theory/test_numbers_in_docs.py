"""What the documents quote in numbers is what the code finds."""

import re
from pathlib import Path

import pytest

from paper_figures.theory import figure_5_times as times
from paper_figures.theory import figure_6_interventions as interventions
from tests.coopetition.theory.test_fates import EXCEPTIONS

ROOT = Path(__file__).resolve().parents[3]
TOUR, THEORY, README, INTERVENTIONS, PAPER = (
    " ".join((ROOT / name).read_text("utf8").split())
    for name in ("docs/tour.md", "docs/theory.md", "README.md", "docs/interventions.md", "paper.md")
)


def short(number: str) -> str:
    """Two digits, as the documents have them: 0.04, 3.3, 21, 130."""
    value = float(number)
    return f"{value:.2g}" if value < 100 else f"{round(value, -1):.0f}"


def test_the_share_of_long_flows_is_that_of_the_listed_exceptions():
    agree = 1000 - len(EXCEPTIONS)
    assert f"of 1,000 random problems ($\\alpha > 0$) followed to $t = 10^8$, {agree} end" in THEORY
    for text in (README, PAPER):
        assert f"agreed in {agree} of 1,000 random problems" in text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_times():
    found = {}
    for finding in times.draw(500).findings:
        name, *numbers = re.fullmatch(
            r"(.+): n (\d+), relative error median ([\d.]+)%, 90 % ([\d.]+)%, "
            r"rank correlation ([\d.]+); (\d+) happen in one alone",
            finding,
        ).groups()
        found[name.replace(": ", ", ")] = numbers
    n, median, _, rank, _ = found.pop("collapse")
    assert n == "500"
    assert f"median error {short(median)} %, rank correlation {float(rank):.2f}" in TOUR
    for name, (n, median, tail, rank, _) in found.items():
        assert f"| {name} | {n} | {short(median)} % | {short(tail)} % | {rank} |" in TOUR
        if "slow" in name:
            assert float(median) < 0.1 and float(tail) < 4
    slow, closed = found["emergence, slow system"], found["emergence, closed form"]
    assert f"(In {slow[4]} draws ICL emerges either in the prediction or in the simulation" in TOUR
    assert "emergence and takeover are less than 0.1 % (median) and 4 %" in THEORY
    for text in (README, PAPER):
        assert f"with a median error of {short(slow[1])} % ({slow[0]} of 500 draws)" in text
    _, median, tail, rank, _ = closed
    quoted = (
        f"{short(median)} % in the median and below {short(tail)} % in nine of ten draws "
        f"(rank correlation {float(rank):.2f})"
    )
    assert quoted in README and quoted in THEORY


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_coopetition():
    findings = " ".join(interventions.draw(200, n_map=2).findings)

    def share(of: str) -> int:
        return int(re.search(rf"{re.escape(of)}: .*?positive in (\d+)%", findings)[1])

    def factor(of: str) -> str:
        return f"{float(re.search(rf'{re.escape(of)}: .*?a factor of ([^,]+)', findings)[1]):.0f}"

    positive = int(re.search(r"cooperation positive in (\d+) of 12", findings)[1])
    for text in (TOUR, THEORY, README, PAPER):
        assert f"{12 - positive} of 12" in text.replace("**", "")
    d, small = "d drawn at 1", "d drawn at 0.1"
    circuit = "circuit of step 20000, " + d
    for quoted in (
        "Draws with no effect are left out",
        f"by a factor of {factor('competition, ' + d)} in the median",
        f"the median factor of all draws is {factor(circuit)}.",
        f"for a shorter time with CIWL in {share('competition, ' + d)} % of the draws",
        f"and in {100 - share('cooperation, ' + d)} % of random ones",
        f"(w_d = 0), CIWL helps in {share('no orthogonal part of d')} % of the draws",
        f"If d is drawn ten times smaller, it helps in {share('cooperation, ' + small)} %",
        f"with alpha = 0, cooperation is negative in {100 - share('no competition')} %",
        f"with a small d it hastens ICL in {share('sharing, ' + small)} % of the draws",
        f"ICL is learnt faster than alone in {share(circuit)} % of the draws",
    ):
        assert quoted in TOUR
    assert share("no orthogonal parts, overlaps of one sign") == 100
    learnt = f"faster than alone in {share(circuit)} % of the draws in which the time differs"
    assert learnt in THEORY
    emerged, draws = re.search(r"late start: ICL emerges in (\d+) of (\d+)", findings).groups()
    for text in (TOUR, THEORY, INTERVENTIONS):
        assert f"in {emerged} of {draws} draws" in text
    assert f"by a factor of {factor(circuit)} in the median of random draws" in INTERVENTIONS
