"""Write the explorer beside the pages, and show it at the top of its page."""

from pathlib import Path

from sphinx.application import Sphinx

from coopetition.cli import main

NAME = "explorer_app.html"
FRAME = f"""

<p><a class="explorer" href="{NAME}">Open the explorer in a page of its own</a></p>
<iframe class="explorer" src="{NAME}" title="Explorer of the minimal model"></iframe>
"""


def _add_frame(app: Sphinx, name: str, source: list[str]) -> None:
    if name == "explorer":
        title, rest = source[0].split("\n", 1)
        source[0] = title + FRAME + rest


def _write_explorer(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        main(["explore", "--out", str(Path(app.outdir, NAME)), "--no-open"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both to the build, the file before links are checked."""
    app.connect("source-read", _add_frame)
    app.connect("build-finished", _write_explorer, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
