"""What README and docs show runs: each page's Python blocks in order, beside a run and logs."""

import re
import shutil
from pathlib import Path

import matplotlib
import matplotlib.pyplot
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from coopetition.fitting.logs import FORMATS
from tests.coopetition.fitting.test_reading import LOGS
from transformer.config.registry import REGISTRIES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = [*sorted((ROOT / "examples").glob("*.py")), ROOT / "docs" / "_tutorial" / "first_run.py"]
# what the build of the site writes
GENERATED = {ROOT / "docs" / name for name in ("gallery", "tutorial", "reference/commands.md")}


def test_the_readme_is_short():
    assert len(PAGES[0].read_text()) <= 8000


def test_the_paper_is_short_and_its_references_are_those_of_its_bibliography():
    paper = (ROOT / "paper.md").read_text()
    assert len(paper.split()) <= 1200
    keys = re.findall(r"^@\w+\{(\w+),", (ROOT / "paper.bib").read_text(), re.MULTILINE)
    assert set(re.findall(r"@(\w+)", paper)) == set(keys)


@pytest.fixture
def nothing_stays_registered(monkeypatch):
    monkeypatch.setattr("coopetition.fitting.logs.FORMATS", [*FORMATS])
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_entries", dict(registry.items()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.usefixtures("nothing_stays_registered")
def test_python_blocks_run(page, tmp_path, monkeypatch, smoke_run):
    for name in ("smoke", "own"):  # the reader trains both by commands
        shutil.copytree(smoke_run.path, tmp_path / "runs" / name)
    (tmp_path / "logs").symlink_to(LOGS)
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    for block in Sybil([PythonCodeBlockParser()]).parse(page).examples():
        block.evaluate()


def anchors(page):
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_notebooks_of_scripts_show_no_roles(script):
    """A notebook shows `:doc:` and the like as raw text, except for formulas."""
    assert not set(re.findall(r":(\w+):`", script.read_text())) - {"math"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        target = page.parent / link if link else page
        if "://" in link or {target, target.parent} & GENERATED:
            continue
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), (link, anchor)
