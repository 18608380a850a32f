"""List the names that the reference pages document; this does not need Sphinx."""

import re
from functools import cache
from pathlib import Path

BLOCK = re.compile(r"^```\{names\} (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = Path(__file__).parents[1] / "reference"


def documented_names() -> list[str]:
    """Return the names in the directives `names` of all pages, with their modules."""
    texts = [page.read_text() for page in sorted(PAGES.glob("*.md"))]
    matches = [match for text in texts for match in BLOCK.finditer(text)]
    return [f"{match[1]}.{name}" for match in matches for name in match[2].split()]


@cache
def names_by_last_part() -> dict[str, list[str]]:
    """Return the documented names by their last part: `coopetition.solve` by `solve`."""
    found: dict[str, list[str]] = {}
    for name in documented_names():
        found.setdefault(name.rpartition(".")[2], []).append(name)
    return found
