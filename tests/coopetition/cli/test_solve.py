"""`coopetition solve`: outputs, exit codes, one-line errors."""

import json

import pytest

from coopetition.model.initial_state import published_draw, random_draw
from coopetition.tools import files as files
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


def test_the_contract(call, tmp_path):
    draw = random_draw(3, {"a": 3, "b": 3, "c": 3, "d": 4})
    draws = write_draws(tmp_path / "draws.npz", {9: draw})
    flags = ["--draws", draws, "--seed", 9, "--json", "--max-steps", 500]
    flags += ["--out", tmp_path / "t.npz", "--plot", tmp_path / "t.png"]
    result = json.loads(call("coopetition", "solve", *flags))
    assert {"stopped_at", "status", "losses", "events"} <= set(result)
    assert {"icl", "ciwl", "competition", "total"} == set(result["losses"])
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    for method in ("descent", "flow"):
        assert "status" in call("coopetition", "solve", "--method", method, *SMALL)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--alpha", "nan"], "alpha is nan"),
        (["--alpha", "x"], "--alpha: expected FLOAT, got x"),
        (["--mu1", "-1"], "mu1 is -1.0"),
        (["--dims", "3", "0", "3", "3"], "dimension of factor b is 0"),
        (["--dims", "3", "3"], "--dims has 2 numbers"),
        (["--dims", "3", "x"], "--dims: expected [INT [INT ...]], got 3 x"),
        (["--seed", "-4"], "seed is -4"),
        (["--seed", "x"], "--seed: expected INT, got x"),
        (["--step", "0"], "step is 0.0"),
        (["--draws", "nowhere.npz"], "nowhere.npz does not exist"),
        (["--method", "magic"], "magic"),
        (["--nonsense", "3"], "--nonsense"),
        (["--plot", "x.foo"], "x.foo"),
        (["--out", "."], ".npz"),
        (["--out", "x.png", "--plot", "x.png"], ".npz"),
        (["--max-steps", "0"], "max_steps is 0; "),
        (["--max-steps", str(10**10)], "max_steps is 10000000000; choose at most"),
        (["--t1", "1e10"], "takes 1e+10 steps"),
        (["--scales", "d"], "--scales d; "),
        (["--scales", "z=2"], "factors z; "),
        (["--scales", "d=-2"], "scale_d is -2"),
        (["--draws", "published", "--scales", "d=2"], "--scales"),
        (["--initial-scale", "nan"], "initial_scale is nan"),
        (["--model", "induction_head", "--alpha", "0.1"], "induction_head has no alpha"),
    ],
)
def test_a_mistake_is_refused_in_one_line(call, flags, names):
    error = call("coopetition", "solve", *flags, expect=2)
    assert error.startswith("coopetition: error: ") and names in error


def test_any_named_model_is_solved(call):
    for name, dims in (("no_sharing", 6), ("induction_head", 3), ("three_strategies", 5)):
        flags = ["--model", name, "--max-steps", 20, "--json", "--dims", *[3] * dims]
        assert json.loads(call("coopetition", "solve", *flags))["model"]["factors"]


def test_single_factors_have_scales_of_their_own(call):
    """At a scale of 0 a factor starts at 0; the others start as without it."""
    flags = ("--model", "three_strategies", "--max-steps", 1, "--threshold", 0, "--json")
    whole, without = (
        json.loads(call("coopetition", "solve", *flags, *more))["losses"]
        for more in ((), ("--scales", "d=0", "e=1"))
    )
    assert whole["icl_ciwl"] > 1e3 * without["icl_ciwl"] and whole["icl_iwl"] > 0


def test_a_diverged_solution_is_reported_and_fails(call, capsys):
    error = call("coopetition", "solve", *SMALL, "--step", 100, "--json", expect=1)
    assert "the loss grew without bound; lower the step size" in error


def test_what_is_written_is_said_where_it_does_not_disturb(call, tmp_path, capsys):
    out = tmp_path / "new" / "t.npz"
    assert call("coopetition", "solve", *SMALL, "--out", out).splitlines()[-1] == f"wrote {out}"
    assert json.loads(call("coopetition", "solve", *SMALL, "--json", "--out", out))


def test_a_folder_that_is_made_is_said(tmp_path, capsys):
    from coopetition.cli import main

    flags = ["solve", *map(str, SMALL), "--plot", str(tmp_path / "no" / "such" / "x.png")]
    for times in (1, 0):
        assert main(flags) == 0
        said = capsys.readouterr().err.splitlines()
        assert said.count(f"made the folder {tmp_path / 'no' / 'such'}") == times


def test_a_result_is_printed_even_if_it_cannot_be_written(monkeypatch, capsys, tmp_path):
    from coopetition.cli import main

    def full(*_, **__):
        raise OSError(28, "No space left on device", "t.npz")

    monkeypatch.setattr(files.os, "fsync", full)
    code = main(["solve", *map(str, SMALL), "--out", str(tmp_path / "t.npz")])
    done = capsys.readouterr()
    assert code == 1 and "losses" in done.out
    assert "the disk is full" in done.err and "Traceback" not in done.err


def test_the_published_draws_need_no_file(call):
    result = json.loads(call("coopetition", "solve", "--draws", "published", "--seed", 7, "--json"))
    assert result["stopped_at"] == 9620
    for flags in (("--seed", 12), ("--model", "three_strategies"), ("--dims", 3, 3, 3, 4)):
        call("coopetition", "solve", "--draws", "published", *flags, expect=2)


def test_the_flow_goes_on_to_a_late_time(call):
    result = json.loads(call("coopetition", "solve", "--method", "flow", "--t1", "1e8",
                             "--threshold", 0, "--json"))  # fmt: skip
    assert result["time"] == 1e8


@pytest.mark.slow
def test_published_draws_of_both_kinds_are_solved(call, tmp_path):
    """The two commands for all 12 seeds, on a file of the form that the draws are given in."""
    draws = write_draws(tmp_path / "draws.npz", {seed: published_draw(seed) for seed in SEEDS})
    stopped = {"0": {}, "0.1": {}}
    for mu1, threshold in (("0", "1e-3"), ("0.1", "1e-6")):
        for seed in SEEDS:
            flags = ["--seed", seed, "--mu1", mu1, "--threshold", threshold, "--method", "descent"]
            text = call("coopetition", "solve", "--draws", draws, *flags, "--json")
            stopped[mu1][seed] = json.loads(text)["stopped_at"]
    published = {0: 8834, 1: 14482, 2: None, 3: 6138, 4: 9306, 5: 5104, 7: 9620}
    assert {seed: stopped["0.1"][seed] for seed in published} == published
    assert [seed for seed in SEEDS if stopped["0"][seed] is None] == [2, 9]
