"""Show Markdown files of other folders as pages, and let links to them lead to these pages."""

import os
import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx

REPOSITORY = Path(__file__).parents[2]
PAGES = {  # file of the repository -> its page
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "tests/gpu/README.md": "project/gpu_check.md",
    "tests/slurm/README.md": "project/slurm_tests.md",
}
LINK = re.compile(r"\[([^\]]*)\]\(([^)#:]+)(#[^)]*)?\)")
FILE_NAME = re.compile(r"[\w/]+\.md")


def with_site_links(text: str, source: str, page: str) -> str:
    """Return the text of a file with its relative links as they are on a page.

    Both names are relative: that of the file to the repository, that of the page to docs/.
    """
    folder = PurePosixPath("docs", page).parent

    def moved(match: re.Match[str]) -> str:
        text, link, anchor = match.groups("")
        target = os.path.normpath(PurePosixPath(source).parent / link)
        if not (REPOSITORY / target).exists():
            return match[0]
        page = PAGES.get(target)
        target = os.path.relpath(f"docs/{page}" if page else target, folder)
        # a link without a text shows the title of the page
        text = "" if FILE_NAME.fullmatch(text) else text
        return f"[{text}]({target}{'' if page == 'index.md' else anchor})"

    return LINK.sub(moved, text)


def _write_pages(app: Sphinx) -> None:
    for source, page in PAGES.items():
        if page == "index.md":
            continue
        text = with_site_links((REPOSITORY / source).read_text(), source, page)
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
