"""`coopetition plot`: pictures of measured curves."""

import re

import pytest


def test_a_run_is_drawn(call, smoke_run, tmp_path):
    for name, flags in (("all.png", ()), ("some.svg", ("--curves", "icl", "flip"))):
        path = tmp_path / name
        flags = ("--metric", "in_context_accuracy", "--out", path, *flags)
        written, shown = call("coopetition", "plot", smoke_run.path, *flags).splitlines()
        assert written == f"wrote {path}" and "in context accuracy of" in shown and "flip" in shown
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "some.svg").read_text()


def test_several_runs_are_drawn_together(call, smoke_run, tmp_path):
    copy = tmp_path / "copy.csv"
    call("transformer", "export", smoke_run.path, "--out", copy)
    out = tmp_path / "both.svg"
    call("coopetition", "plot", smoke_run.path, copy, "--curves", "icl", "--out", out)
    assert {"smoke", "copy.csv", "ICL"} <= {*re.findall("<!-- (.*?) -->", out.read_text())}


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--curves", "nope"), "no curve nope"),
        (("--out", "x.txt"), "x.txt"),
        (("--from", "1e12"), "choose others for --from and --until"),
        (("--from", "5", "--until", "3"), "--until 3"),
    ],
)
def test_a_mistake_is_refused_in_one_line(call, smoke_run, tmp_path, flags, names):
    out = () if "--out" in flags else ("--out", tmp_path / "x.png")
    error = call("coopetition", "plot", smoke_run.path, *flags, *out, expect=2)
    assert names in error and not [*tmp_path.iterdir()]
