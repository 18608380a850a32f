"""Check, at the end of a build, that links lead somewhere and that no page needs a network."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

LOADING = {"script", "img", "link", "iframe", "source"}  # elements whose address a browser loads


class Page(HTMLParser):
    """The addresses and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what an element refers to, and its names."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append((tag, value))
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def find_broken_links(site: Path) -> list[str]:
    """Return the broken links of a built site, a line for each."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    broken = set()
    for path, page in pages.items():
        for tag, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                is_wrong = tag in LOADING and parts.scheme != "data"
            else:
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                anchors = pages[target].anchors if target in pages else set()
                fragment = unquote(parts.fragment)
                is_wrong = not target.is_file() or bool(fragment and fragment not in anchors)
            if is_wrong:
                broken.add(f"{path.relative_to(site.resolve())}: {link}")
    return sorted(broken)


def _check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        broken = find_broken_links(Path(app.outdir))
        if broken:
            raise ExtensionError("broken links:\n" + "\n".join(broken))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the check to the end of the build."""
    app.connect("build-finished", _check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
