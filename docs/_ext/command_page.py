"""Write the reference of commands: what each prints with `--help`."""

import contextlib
import io
import os
import textwrap
from importlib import import_module
from pathlib import Path

from sphinx.application import Sphinx

from coopetition.tools.commands import find_commands

PROGRAMS = {"coopetition": "coopetition", "transformer": "python -m transformer"}
FIGURE_COMMANDS = "PAPER FIGURE", "--all", "make", "preset", "keep", "results"
WIDTH = 94
HEAD = """# Reference: commands

This page shows the help of each command, with its flags and their defaults.
"""


def _help(package: str, *arguments: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        import_module(f"{package}.cli").main([*arguments, "--help"])
    lines = [
        part
        for line in text.getvalue().rstrip().splitlines()
        for part in (textwrap.wrap(line, WIDTH) if line[:1].isalpha() else [line.rstrip()])
    ]
    return "\n".join([*lines, ""])


def _write_page(app: Sphinx) -> None:
    os.environ["COLUMNS"] = str(WIDTH)
    parts = [HEAD]
    for package, prog in PROGRAMS.items():
        parts.append(f"## `{prog}`\n\n```text\n{_help(package)}```\n")
        for name in find_commands(import_module(f"{package}.cli")):
            parts.append(f"### `{prog} {name}`\n\n```text\n{_help(package, name)}```\n")
    parts.append(f"## `python -m paper_figures`\n\n```text\n{_help('paper_figures')}```\n")
    for name in FIGURE_COMMANDS:
        text = _help("paper_figures", *name.replace("PAPER FIGURE", "coopetition 4").split())
        parts.append(f"### `python -m paper_figures {name}`\n\n```text\n{text}```\n")
    text = "\n".join(parts)
    path = Path(app.srcdir, "reference", "commands.md")
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it to the start of the build."""
    app.connect("builder-inited", _write_page, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
