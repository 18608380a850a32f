"""Files are checked before the work, and written whole or not at all."""

import os

import pytest

from coopetition.tools import files
from coopetition.tools.errors import UsageError
from coopetition.tools.files import check_readable, check_writable, write_text


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
