"""The numbers in docs/ are those of the kept data."""

import re

import pytest

from coopetition.tools.errors import UsageError
from paper_figures.pages import PAGES, ROOT, fill, pictures, write_pages, write_pictures

SLOW = ("docs/coopetition.md",)  # fits the toy


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PAGES]
)
def test_a_page_is_generated_from_what_is_kept(name):
    text = (ROOT / name).read_text()
    assert fill(name, text, PAGES[name]) == text, "run python -m paper_figures pages"


def test_a_part_is_filled_between_its_marks_and_nothing_else():
    page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n<!-- y -->\nkept\n<!-- end of y -->\n"
    expected = page.replace("old", r"new \1")
    assert fill("p.md", page, {"x": lambda: r"new \1"}) == expected
    with pytest.raises(UsageError, match="p.md.*<!-- end of x -->"):
        fill("p.md", "a page\n<!-- x -->\n", {"x": lambda: "new"})


def test_the_pages_show_the_pictures_that_are_drawn_and_no_others():
    folder = ROOT / "docs" / "images"
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"images/(\w+\.png)", page.read_text())}
    assert {path.name for path in pictures()} == shown == {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("write", [write_pages, write_pictures])
def test_an_installed_package_has_no_pages_to_write(write, tmp_path, monkeypatch):
    monkeypatch.setattr("paper_figures.pages.ROOT", tmp_path)
    with pytest.raises(UsageError, match="checkout"):
        write()
    assert not list(tmp_path.iterdir())
