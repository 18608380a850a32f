"""The commands `train`, `presets` and `bench`, and the flag `--plugin`."""

import json
import sys

import pytest
import torch

from transformer.cli import main
from transformer.training.bench import Workload, bench
from transformer.training.machine import Machine


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--preset", "nothing"], "'nothing'"),
        (["--preset"], "'--preset'"),
        (["--preset", "smoke", "--scale", "huge"], "'huge'"),
        (["--preset", "smoke", "--exemplars", "cats"], "'cats'"),
        (["--preset", "smoke", "--exemplars", "features"], "--data.exemplars.path"),
        (["--preset", "smoke", "--nonsense", "1"], "--nonsense"),
        (["--batch-size", "1"], "--data.batch-size?"),
        (["--optim.precision", "float32"], "--precision?"),
        (["--preset", "smoke", "--seed", "3"], "--init-seed or --data-seed"),
        (["--preset", "smoke", "--data.exemplars.path", "v.npy"], "--exemplars (features or"),
        (["--preset", "smoke", "--data.exemplars.nothing", "1"], "exemplars.nothing"),
        (["--preset", "smoke", "--model.n-heads", "7"], "n_heads=7"),
        (["--preset", "smoke", "--device", "abacus"], "'abacus'"),
        (["--preset", "smoke", "--device", "cpu:x"], "'cpu:x'"),
        (["--preset", "smoke", "--device", "cuda"], "'cuda'"),
        (["--preset", "smoke", "--device", "cpu", "--execution", "graph"], "'graph'"),
        (["--preset", "smoke", "--device", "cpu", "--execution", "compiled-graph"], "'compiled-"),
        (["--preset", "smoke", "--threads", "0"], "threads=0"),
        (["--preset", "smoke", "--vary", "init_seed"], "--vary init_seed"),
        (["--preset", "omniglot", "--data.exemplars.path", "nowhere"], "'nowhere'"),
    ],
)
def test_a_mistake_is_refused_in_one_line_and_leaves_nothing(
    call, flags, names, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "run"
    error = call("transformer", "train", *flags, "--out", out, expect=2)
    assert error.startswith("python -m transformer: error: ") and names in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("is_built", "n_devices", "names"),
    [
        (False, 0, ["CPU build", "install"]),
        (True, 0, ["driver", "nvidia-smi", "CUDA_VISIBLE_DEVICES"]),
        (True, 2, ["cuda:1"]),
    ],
)
def test_a_missing_gpu_is_explained_in_one_line(
    call, is_built, n_devices, names, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: is_built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_devices)
    flags = ["--preset", "smoke", "--device", "cuda:7", "--out", tmp_path / "run"]
    error = call("transformer", "train", *flags, expect=2)
    assert all(name in error for name in ["'cuda:7'", *names]), error


@pytest.mark.parametrize("given", [["--out", ""], ["--out="]])
def test_an_empty_folder_name_is_not_the_current_folder(call, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "--out" in call("transformer", "train", "--preset", "smoke", *given, expect=2)
    assert not [*tmp_path.iterdir()]


def test_a_dry_run_prints_costs_and_starts_nothing(call, tmp_path, monkeypatch):
    monkeypatch.setattr("transformer.training.cost.TIMED_S", 0.02)
    flags = ["--preset", "smoke", "--out", tmp_path / "run", "--dry-run", "--threads", 1]
    report = json.loads(call("transformer", "train", *flags, "--json"))
    assert {"steps", "parameters", "memory_mib", "predicted_time"} <= set(report)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes").touch()
    assert "run" in call("transformer", "train", *flags, expect=2)


def test_all_runs_are_shown_when_one_diverges(capsys, tmp_path):
    flags = ["--preset", "smoke", "--out", tmp_path / "runs", "--threads", 1, "--n-steps", 50]
    flags += ["--vary", "optim.learning-rate", "1e-3", "1e9", "--execution", "eager"]
    assert main(["train", *map(str, flags)]) == 1
    done = capsys.readouterr()
    assert all(word in done.out for word in ("1e-3", "finished", "diverged"))
    assert "the loss of step 2 is not finite" in done.err.splitlines()[-1]


def test_presets_are_listed(call):
    rows = [json.loads(line) for line in call("transformer", "presets", "--json").splitlines()]
    scales = {row["preset"]: row["scale"] for row in rows}
    assert (scales["smoke"], scales["coopetition/main"]) == ("any", "cpu")
    assert "smoke" in call("transformer", "presets", "--scale", "paper")


def test_help_shows_switches_and_exemplars(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--preset", "smoke", "--help"])
    shown = capsys.readouterr().out
    assert "--model.norm, --model.no-norm" in shown
    assert not any(words in shown for words in ("{None}", "(default: )", "(default: '"))


def test_a_plugin_is_loaded_before_the_command(call, tmp_path):
    for name, words in (("before", ["--plugin", "{}", "presets"]),
                        ("among", ["presets", "--plugin", "{}", "--json"])):  # fmt: skip
        plugin = tmp_path / f"{name}.py"
        plugin.write_text("")
        call("transformer", *(word.format(plugin) for word in words))
        assert sys.modules.pop(f"plugin_{name}").__file__ == str(plugin)


def test_unknown_drawings_are_not_embedded(call):
    assert "'cats'" in call("transformer", "embed", "--drawings", "cats", expect=2)


def test_a_step_takes_longer_than_its_floor(call):
    flags = ["--n-classes", 64, "--runs", 2, "--repeats", 1, "--threads", 1, "--json"]
    result = json.loads(call("transformer", "bench", *flags, "--execution", "eager"))
    assert result["milliseconds_per_step"] > result["floor_milliseconds"] > 0


@pytest.mark.parametrize(("values", "named"), [((1,), "n_classes=1"), ((), "--n-classes")])
def test_invalid_workloads_are_refused(call, values, named):
    assert named in call("transformer", "bench", "--n-classes", *values, expect=2)


def test_bench_chooses_threads_as_training_does(monkeypatch):
    """One where a run is too short for timing, however many cores there are."""
    monkeypatch.setattr("transformer.training.execution.WORTH_TIMING_S", float("inf"))
    with Machine("cpu", 2, "eager").use():
        (row,) = bench(
            [Workload(8, n_layers=1, d_features=4)],
            device="cpu",
            threads=None,
            executions=("eager",),
            repeats=1,
        )
        assert row["threads"] == 1 and torch.get_num_threads() == 2
