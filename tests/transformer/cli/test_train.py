"""`python -m transformer train` and `presets`."""

import json
import sys

import pytest


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--preset", "nothing"], "'nothing'"),
        (["--preset"], "'--preset'"),
        (["--preset", "smoke", "--scale", "huge"], "'huge'"),
        (
            ["--preset", "smoke", "--exemplars", "cats"],
            "'cats': choose",
        ),
        (["--preset", "smoke", "--data.held-out", "99999"], "held_out=99999 leaves 0 of"),
        (["--preset", "smoke", "--nonsense", "1"], "--nonsense"),
        (["--preset", "smoke", "--model.n-heads", "7"], "n_heads=7"),
        (["--preset", "smoke", "--data.burstiness", "2"], "burstiness=2"),
        (["--preset", "smoke", "--data.exemplars.n-classes", "1"], "n_classes=1"),
        (["--preset", "smoke", "--device", "abacus"], "'abacus'"),
        (["--preset", "smoke", "--device", "cpu:x"], "'cpu:x'"),
        (["--preset", "smoke", "--threads", "0"], "threads=0"),
        (["--preset", "smoke", "--vary", "init_seed"], "--vary init_seed: no values"),
        (["--preset", "omniglot", "--data.exemplars.path", "nowhere"], "'nowhere'"),
    ],
)
def test_a_mistake_is_refused_in_one_line_and_leaves_nothing(call, flags, names, tmp_path):
    out = tmp_path / "run"
    error = call("transformer", "train", *flags, "--out", out, expect=2)
    assert error.startswith("python -m transformer: error: ") and names in error
    assert not out.exists()


def test_a_dry_run_says_what_a_run_takes_and_starts_nothing(call, tmp_path, monkeypatch):
    monkeypatch.setattr("transformer.training.cost.TIMED_S", 0.02)
    flags = ["--preset", "smoke", "--out", tmp_path / "run", "--dry-run", "--threads", 1]
    report = json.loads(call("transformer", "train", *flags, "--json"))
    assert {"steps", "parameters", "memory_mib", "predicted_time"} <= set(report)
    assert not (tmp_path / "run").exists()


def test_an_ensemble_tells_of_all_its_runs_when_one_diverges(capsys, tmp_path):
    from transformer.cli import main

    flags = ["--preset", "smoke", "--out", tmp_path / "runs", "--threads", 1, "--n-steps", 50]
    flags += ["--vary", "optim.learning-rate", "1e-3", "1e9", "--execution", "eager"]
    code = main(["train", *map(str, flags)])
    done = capsys.readouterr()
    assert code == 1
    assert all(word in done.out for word in ("1e-3", "finished", "diverged"))
    assert "the loss of step 2 is not finite" in done.err.splitlines()[-1]


def test_presets_are_listed(call):
    rows = [json.loads(line) for line in call("transformer", "presets", "--json").splitlines()]
    assert "smoke" in {row["preset"] for row in rows}
    assert "smoke" in call("transformer", "presets", "--scale", "paper")


def test_help_tells_of_switches_and_exemplars(capsys):
    from transformer.cli import main

    with pytest.raises(SystemExit):
        main(["train", "--preset", "smoke", "--help"])
    shown = capsys.readouterr().out
    assert "--model.norm, --model.no-norm" in shown and "{None}" not in shown


def test_a_file_of_the_users_own_is_loaded_before_the_command(call, tmp_path):
    for name, words in (("before", ["--plugin", "{}", "presets"]),
                        ("among", ["presets", "--plugin", "{}", "--json"])):  # fmt: skip
        plugin = tmp_path / f"{name}.py"
        plugin.write_text("")
        call("transformer", *(word.format(plugin) for word in words))
        assert sys.modules.pop(f"plugin_{name}").__file__ == str(plugin)


def test_drawings_of_another_kind_are_not_embedded(call):
    assert "'cats'" in call("transformer", "embed", "--drawings", "cats", expect=2)
