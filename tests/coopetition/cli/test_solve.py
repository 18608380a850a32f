"""`coopetition solve`."""

import json

import pytest

from coopetition.cli import main
from coopetition.model.initial_state import published_draw, random_draw
from coopetition.tools import files
from coopetition.tools.files import write_npz
from paper_figures.core.published import SEEDS

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
    for method in ("descent", "flow"):
        assert "status" in call("coopetition", "solve", "--method", method, *SMALL)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--alpha", "x"], "--alpha: expected FLOAT, got x"),
        (["--mu1", "-1"], "mu1 is -1.0"),
        (["--dims", "3", "0", "3", "3"], "factor b is 0"),
        (["--dims", "3", "3"], "--dims has 2 numbers"),
        (["--seed", "-4"], "seed is -4"),
        (["--step", "0"], "step is 0.0"),
        (["--draws", "nowhere.npz"], "nowhere.npz"),
        (["--method", "magic"], "magic"),
        (["--out", "."], ".npz"),
        (["--max-steps", str(10**10)], "max_steps is 10000000000"),
        (["--t1", "1e10"], "1e+10 steps"),
        (["--scales", "d"], "--scales d"),
        (["--scales", "z=2"], "z"),
        (["--scales", "d=-2"], "scale_d is -2"),
        (["--draws", "published", "--scales", "d=2"], "--scales"),
        (["--draws", "published", "--seed", "12"], "12"),
        (["--draws", "published", "--model", "three_strategies"], "e"),
        (["--model", "induction_head", "--alpha", "0.1"], "induction_head has no alpha"),
    ],
)
def test_a_mistake_is_refused_in_one_line(call, flags, names):
    error = call("coopetition", "solve", *flags, expect=2)
    assert error.startswith("coopetition: error: ") and names in error


def test_any_named_model_is_solved(call):
    for name, dims in (("no_sharing", 6), ("induction_head", 3), ("three_strategies", 5)):
        result = solve_json(call, "--model", name, "--max-steps", 20, "--dims", *[3] * dims)
        assert result["model"]["factors"]


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


def test_the_flow_reaches_late_times(call):
    result = solve_json(call, "--method", "flow", "--t1", "1e8", "--threshold", 0)
    assert result["time"] == 1e8


def test_the_published_draws_need_no_file(call):
    assert solve_json(call, "--draws", "published", "--seed", 7)["stopped_at"] == 9620


@pytest.mark.slow
def test_published_draws_stop_at_the_published_steps(call, tmp_path):
    """Both settings for all 12 seeds, from a file."""
    draws = write_draws(tmp_path / "draws.npz", {seed: published_draw(seed) for seed in SEEDS})
    stopped = {"0": {}, "0.1": {}}
    for mu1, threshold in (("0", "1e-3"), ("0.1", "1e-6")):
        for seed in SEEDS:
            flags = ["--draws", draws, "--seed", seed, "--mu1", mu1, "--threshold", threshold]
            stopped[mu1][seed] = solve_json(call, *flags)["stopped_at"]
    published = {0: 8834, 1: 14482, 2: None, 3: 6138, 4: 9306, 5: 5104, 7: 9620}
    assert {seed: stopped["0.1"][seed] for seed in published} == published
    assert [seed for seed in SEEDS if stopped["0"][seed] is None] == [2, 9]
