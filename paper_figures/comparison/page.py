"""What docs/comparison.md tells in numbers, each part between two marks.

`python -m paper_figures.comparison.page` writes them anew, from what is kept; a test compares.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from coopetition.tools.files import write_text
from paper_figures.comparison.confront import VERDICTS
from paper_figures.comparison.tables import fits_table, forecasts_table, ranks_table

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"


def bet_table() -> str:
    """Claims and what became of them."""
    lines = ["| claim | measured | predicted | holds |", "|---|---|---|---|"]
    for each in json.loads(VERDICTS.read_text()):
        if "rank" in each:
            measured, said = f"rank {each['rank']:+.2f}, p {each['chance']:.1g}", "a trend"
        else:
            measured = _text(each["measured"])
            said = f"{_text(each['low'])} to {_text(each['high'])}"
        lines.append(f"| {each['claim']} | {measured} | {said} | {_yes(each['holds'])} |")
    return "\n".join(lines)


def _text(value: float | None) -> str:
    if value is None:
        return "beyond the run"
    return f"{value:,.0f}" if value > 1000 else f"{value:.3f}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


PARTS: dict[str, Callable[[], str]] = {
    "ranks": ranks_table,
    "forecasts": forecasts_table,
    "bet": bet_table,
    "fits": fits_table,
}


def page(text: str) -> str:
    """The page with its parts as they are now."""
    for name, made in PARTS.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.escape(start) + ".*?" + re.escape(end)
        new = f"{start}\n{made()}\n{end}"
        text = re.sub(pattern, lambda _, new=new: new, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    write_text(PAGE, page(PAGE.read_text()))
    print(f"wrote {PAGE}")
