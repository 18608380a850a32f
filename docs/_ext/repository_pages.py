"""Show Markdown files of other folders as pages, and let links to them lead to these pages."""

import os
import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx

PAGES = {  # file of the repository -> its page
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "tests/gpu/README.md": "project/gpu_check.md",
    "tests/slurm/README.md": "project/slurm_tests.md",
}
LINK = re.compile(r"(\]\()([^)#:]+)((?:#[^)]*)?\))")


def with_site_links(text: str, source: str, page: str) -> str:
    """Return the text of a file with its relative links as they must be on a page.

    Both names are relative: that of the file to the repository, that of the page to docs/.
    """
    folder = PurePosixPath("docs", page).parent

    def moved(match: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(source).parent / match[2])
        is_index = PAGES.get(target) == "index.md"
        target = f"docs/{PAGES[target]}" if target in PAGES else target
        return match[1] + os.path.relpath(target, folder) + (")" if is_index else match[3])

    return LINK.sub(moved, text)


def _write_pages(app: Sphinx) -> None:
    for source, page in PAGES.items():
        if page == "index.md":
            continue
        text = with_site_links((app.srcdir.parent / source).read_text(), source, page)
        path = Path(app.srcdir, page)
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _move_links(app: Sphinx, name: str, source: list[str]) -> None:
    page = f"{name}.md"
    if Path(app.srcdir, page).exists() and page not in PAGES.values():
        source[0] = with_site_links(source[0], f"docs/{page}", page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both to the build."""
    app.connect("builder-inited", _write_pages, priority=100)
    app.connect("source-read", _move_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
