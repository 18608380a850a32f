"""`python -m paper_figures`."""

import json


def test_a_figure_is_written_whole(call, tmp_path):
    assert "coopetition 5" in call("paper_figures", "--list")
    call("paper_figures", "coopetition", 1, "--out", tmp_path)
    for kind, start in {"png": b"\x89PNG", "pdf": b"%PDF", "csv": b"panel", "json": b"{"}.items():
        assert (tmp_path / f"coopetition_1.{kind}").read_bytes().startswith(start)
    assert len(json.loads((tmp_path / "coopetition_1.json").read_text())["runs"]) >= 3


def test_what_cannot_be_drawn_is_refused(call, tmp_path):
    (tmp_path / "file").write_text("")
    for arguments, names in (
        (("coopetition", 19), "no figure 19"),
        (("coopetition", 1, "--out", tmp_path / "file"), "file is a file; give a folder"),
        (("nature", 1), "'nature'"),
        (("--list", "more"), "Unrecognized options: more"),
    ):
        assert names in call("paper_figures", *arguments, expect=2)
