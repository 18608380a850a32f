"""Files are checked before the work, and written whole or not at all."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.tools import files
from coopetition.tools.errors import UsageError
from coopetition.tools.files import (
    REPORT_WIDTH,
    check_readable,
    check_writable,
    text_table,
    wrap_text,
    write_text,
)


def test_a_file_that_can_be_written_passes(tmp_path):
    (tmp_path / "old").write_text("")
    for path in (None, tmp_path / "old", tmp_path / "new", tmp_path / "folders" / "to" / "make"):
        check_writable(path)
    assert os.listdir(tmp_path) == ["old"]


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("", "pipe", "loop", "file/below"):
        with pytest.raises(UsageError, match=str(tmp_path / name)):
            check_writable(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "loop", "pipe"]

    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match="Read-only file system"):
        check_writable(tmp_path / "a" / "b")


def test_a_path_that_is_no_file_is_refused_with_its_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, kind in (("", "folder"), ("pipe", "pipe"), ("loop", "link"), ("none", "not exist")):
        with pytest.raises(UsageError, match=f"{kind}.*; give a CSV$"):
            check_readable(tmp_path / name, "give a CSV")


def test_a_failed_write_leaves_the_old_content_and_names_the_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_text(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_text(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_a_table_aligns_numbers_to_the_right_and_text_to_the_left():
    rows = [("name", "value"), ("a", "1.5"), ("long name", "-20")]
    assert text_table(rows).splitlines() == [
        "name       value",
        "a            1.5",
        "long name    -20",
    ]


words = st.text("abc", min_size=1, max_size=20)
cells = st.one_of(st.lists(words, max_size=12).map(" ".join), st.floats().map("{:.4g}".format))


@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.tuples(words, *[cells] * n), min_size=1)))
def test_a_table_of_any_cells_fits_the_width_of_a_report(rows):
    text = text_table(rows)
    assert max(map(len, text.splitlines())) <= REPORT_WIDTH
    given_words = sorted(word for row in rows for cell in row[1:] for word in cell.split())
    shown = sorted(text.split())
    for word in given_words:  # none is lost
        shown.remove(word)
    assert max(map(len, wrap_text(" ".join(given_words)).splitlines()), default=0) <= REPORT_WIDTH
