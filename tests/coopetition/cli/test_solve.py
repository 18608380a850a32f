"""`coopetition solve`."""

import json

import pytest

from coopetition.cli import main
from coopetition.model.initial_state import random_draw
from coopetition.tools import files
from coopetition.tools.files import write_npz

SMALL = ("--dims", 3, 3, 3, 4, "--max-steps", 50)


def write_draws(path, draws):
    arrays = {}
    for seed, draw in draws.items():
        arrays |= {f"seed{seed}/initial/{k}": v for k, v in draw.initial.items()}
        arrays |= {f"seed{seed}/target/{k}": v for k, v in draw.target.items()}
    write_npz(path, **arrays)
    return path


def solve_json(call, *flags):
    return json.loads(call("coopetition", "solve", *flags, "--json"))


def test_a_solution_is_printed_saved_and_drawn(call, tmp_path):
    draw = random_draw(3, {"a": 3, "b": 3, "c": 3, "d": 4})
    flags = ["--draws", write_draws(tmp_path / "draws.npz", {9: draw}), "--seed", 9]
    flags += ["--max-steps", 500, "--out", tmp_path / "t.npz", "--plot", tmp_path / "t.png"]
    result = solve_json(call, *flags)
    assert {"stopped_at", "status", "losses", "events"} <= set(result)
    assert {"icl", "ciwl", "competition", "total"} == set(result["losses"])
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    late = solve_json(call, "--method", "flow", "--t1", "1e8", "--threshold", 0)
    assert late["time"] == 1e8


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--alpha", "x"], "--alpha: expected FLOAT, got x"),
        (["--dims", "3", "3"], "--dims has 2 numbers"),
        (["--step", "0"], "step is 0.0"),
        (["--draws", "nowhere.npz"], "nowhere.npz"),
        (["--method", "magic"], "magic"),
        (["--out", "."], ".npz"),
        (["--max-steps", str(10**10)], "max_steps is 10000000000"),
        (["--t1", "1e10"], "1e+10 steps"),
        (["--scales", "d"], "--scales d"),
        (["--draws", "published", "--scales", "d=2"], "--scales"),
        (["--draws", "published", "--seed", "12"], "12"),
        (["--draws", "published", "--model", "three_strategies"], "e"),
        (["--model", "induction_head", "--alpha", "0.1"], "induction_head has no alpha"),
    ],
)
def test_a_mistake_is_refused_in_one_line(call, flags, names):
    error = call("coopetition", "solve", *flags, expect=2)
    assert error.startswith("coopetition: error: ") and names in error


def test_a_factor_can_have_its_own_scale(call):
    """At a scale of 0 a factor starts at 0; the others start as without it."""
    flags = ("--model", "three_strategies", "--max-steps", 1, "--threshold", 0)
    plain, scaled = (
        solve_json(call, *flags, *more)["losses"] for more in ((), ("--scales", "d=0", "e=1"))
    )
    assert plain["icl_ciwl"] > 1e3 * scaled["icl_ciwl"] and plain["icl_iwl"] > 0


def test_a_diverged_solution_is_reported_and_fails(call):
    error = call("coopetition", "solve", *SMALL, "--step", 100, "--json", expect=1)
    assert "lower the step size" in error


def test_written_files_and_new_folders_are_named(tmp_path, capsys):
    out = tmp_path / "new" / "t.npz"
    flags = ["solve", *map(str, SMALL), "--out", str(out)]
    for is_new in (True, False):
        assert main(flags) == 0
        done = capsys.readouterr()
        assert done.out.splitlines()[-1] == f"wrote {out}"
        assert (f"made the folder {out.parent}" in done.err) is is_new
    assert main([*flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out), "JSON alone on standard output"


def test_a_result_is_printed_even_if_it_cannot_be_written(monkeypatch, capsys, tmp_path):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "t.npz")

    monkeypatch.setattr(files.os, "fsync", full)
    code = main(["solve", *map(str, SMALL), "--out", str(tmp_path / "t.npz")])
    done = capsys.readouterr()
    assert code == 1 and "losses" in done.out
    assert "the disk is full" in done.err and "Traceback" not in done.err


def test_the_published_draws_need_no_file(call):
    assert solve_json(call, "--draws", "published", "--seed", 7)["stopped_at"] == 9620
