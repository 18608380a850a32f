"""`coopetition demo`."""

import pytest


@pytest.mark.slow
def test_the_quick_demo_runs_through(call, tmp_path):
    report = call("coopetition", "demo", "--quick", "--out", tmp_path / "demo", "--threads", 1)
    assert "Strategy coopetition" in report
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"report.md", "demo.png", "demo.pdf", "demo.csv", "demo.json"} <= names


def test_what_cannot_be_done_is_refused_before_the_work(call, tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "file").write_text("")
    for flags, names in (
        (("--threads", 0), "threads=0; choose from 1"),
        (("--threads", 100000), "threads=100000; choose from 1"),
        (("--out", tmp_path / "file" / "below"), "file is not a folder"),
        (("--out", tmp_path), "is the folder of a run; choose another"),
        (("--out", tmp_path / "file"), "is a file; give a folder"),
    ):
        assert names in call("coopetition", "demo", "--quick", *flags, expect=2)
