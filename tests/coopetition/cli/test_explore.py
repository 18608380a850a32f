"""`coopetition explore`."""

import webbrowser

import pytest

OVERLAYS = ("figure 5b", "our main run", "our run on procedural glyphs", "our run of the demo")


def test_the_page_is_written_and_opened(call, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or True)
    path = tmp_path / "new" / "page.html"
    assert str(path) in call("coopetition", "explore", "--out", path)
    assert opened == [path.as_uri()]
    assert all(title in path.read_text() for title in OVERLAYS)


def test_without_a_browser_the_file_is_named(call, tmp_path, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda uri: False)
    assert "open this file" in call("coopetition", "explore", "--out", tmp_path / "page.html")


@pytest.mark.parametrize("name", ["page.txt", "folder.html"])
def test_what_cannot_be_written_is_refused(call, tmp_path, name):
    (tmp_path / "folder.html").mkdir()
    assert name in call("coopetition", "explore", "--no-open", "--out", tmp_path / name, expect=2)
