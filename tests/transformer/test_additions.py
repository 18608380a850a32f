"""Additions from outside, one file each as in docs/how_to_add.md, work like the package's own."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import tiny_config
from transformer.cli import main
from transformer.config import RunConfig, to_dict
from transformer.config.data import EXEMPLAR_KINDS, MODES
from transformer.config.encoders import ENCODERS
from transformer.config.evaluators import EVALUATORS
from transformer.config.interventions import INTERVENTIONS
from transformer.config.registry import Registry, load_plugin
from transformer.experiments.plans import load_plan
from transformer.experiments.presets import PRESETS
from transformer.measures import MEASURES
from transformer.runs.evaluation import evaluate_checkpoint
from transformer.runs.folder import load_run
from transformer.runs.measures import measure_run
from transformer.runs.train import resume, train
from transformer.training.machine import Machine

HERE = Machine("cpu", 1, "eager")
PAGE = Path(__file__).parents[2] / "docs" / "how_to_add.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
ADDED = (
    *("mode", "evaluator", "kind", "encoder", "preset", "measure"),
    *("reading", "intervention", "plan"),
)
FILES = dict(zip(ADDED, BLOCKS, strict=False))


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """Load the files of the page, by what they add; unload them afterwards."""
    folder = tmp_path_factory.mktemp("plugins")
    paths = {name: folder / f"{name}_of_mine.py" for name in FILES}
    for name, path in paths.items():
        path.write_text(FILES[name])
        load_plugin(path)
        load_plugin(path)  # once is enough, twice does no harm
    yield paths
    for registry, name in (
        (EXEMPLAR_KINDS, "step_functions"),
        (MODES, "neighbours"),
        (EVALUATORS, "same_mode"),
        (ENCODERS, "row_sums"),
        (PRESETS, "mine"),
        (MEASURES, "label_bias"),
        (MEASURES, "query_self"),
        (INTERVENTIONS, "Uniform"),
    ):
        registry.reset({each: registry[each] for each in registry if each != name})


@pytest.fixture(scope="module")
def config(added) -> RunConfig:
    tiny = tiny_config()
    data = replace(tiny.data, exemplars=EXEMPLAR_KINDS["step_functions"](), mode="neighbours")
    return replace(tiny, data=data, evaluation=replace(tiny.evaluation, also=("same_mode",)))


def test_they_are_trained_on_evaluated_and_resumed(config, tmp_path):
    run = train(replace(config, n_steps=10), tmp_path / "run", HERE)
    assert load_run(run.path).config == run.config, "the manifest tells the kind"
    (run,) = resume(run.path, n_steps=20)
    whole = train(replace(config, n_steps=20), tmp_path / "whole", HERE)
    for name, tensor in whole.state(20).tensors.items():
        if name != "steps_since":
            assert torch.equal(tensor, run.state(20).tensors[name]), name
    drawn = run.evaluation_sets()["same_mode"]
    classes = (drawn.exemplars // 4).numpy()
    assert ((np.diff(np.roll(classes, 1, axis=0), axis=0) - 1) % 20 == 0).all()
    table = evaluate_checkpoint(run).metrics
    assert set(table) == {"train", "icl", "ciwl", "flip", "iwl", "same_mode"}
    assert run.metrics()[-1]["same_mode/loss"] == pytest.approx(table["same_mode"]["loss"])


def test_the_commands_know_them(added, capsys, monkeypatch):
    monkeypatch.setattr("transformer.training.cost.TIMED_S", 0.02)
    assert main(["--plugin", str(added["mode"]), "data"]) == 0
    listed = capsys.readouterr().out
    for line in ("that follow the query's", "that the run is trained on", "Step functions"):
        assert line in listed
    kind = ["--exemplars", "step_functions"]
    with pytest.raises(SystemExit) as end:
        main(["train", "--preset", "smoke", *kind, "--help"])
    assert end.value.code == 0 and "--data.exemplars.height" in capsys.readouterr().out
    new = ["--data.mode", "neighbours", "--evaluation.also", "same_mode", "--execution", "eager"]
    train_ = ["train", "--preset", "smoke", "--out", "unused", "--dry-run", "--json"]
    assert main([*train_, *kind, *new]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["features"] == 256, "one for each of the preset's classes"
    assert main(["train", "--preset", "mine", "--out", "unused", "--dry-run", "--json"]) == 0


def test_an_encoder_makes_features_that_are_trained_on(added, call, tmp_path):
    features = tmp_path / "features.safetensors"
    flags = ["--encoder", "row_sums", "--encoder.side", "12", "--reduction.components", "4"]
    drawings = ["--drawings", "glyphs", "--data.n-classes", "30", "--data.n-exemplars", "4"]
    made = call("transformer", "embed", *flags, *drawings, "--out", features, "--json")
    measured = json.loads(made)["result"]
    assert measured["d_features"] == 4 and measured["n_candidates"] == 30
    path = ["--exemplars", "features", "--data.exemplars.path", features, "--execution", "eager"]
    call(
        "transformer", "train", "--preset", "smoke", *path, "--n-steps", 3, "--out", tmp_path / "r"
    )
    exemplars = load_run(tmp_path / "r").config.data.exemplars
    assert "encoder.side=12" in exemplars.made_by and exemplars.fingerprint


def test_measures_an_intervention_and_a_plan_are_taken(added, config, tmp_path, call):
    """A query that sees all alike sees itself by a fifth."""
    run = train(replace(config, n_steps=10), tmp_path / "run", HERE)
    (row,) = measure_run(run, "label_bias")
    assert row["step"] == 10 and row["std"] >= 0
    assert [*load_plan(str(added["plan"]), "cpu").nodes] == ["first", "graft", "events"]
    uniform = {"Uniform": {"heads": ["0:*", "1:*"]}}
    flags = ["--measures", "query_self", "--evaluators", "icl", "--intervene", json.dumps(uniform)]
    call("transformer", "measure", run.path, *flags, "--out", tmp_path / "table.csv")
    found = pd.read_csv(tmp_path / "table.csv")
    assert len(found) == 2 * config.model.n_heads
    assert found["value"].to_numpy() == pytest.approx(1 / 5)


def test_without_its_file_a_kind_is_unknown(config):
    table = json.loads(json.dumps(to_dict(config)))
    table["data"]["exemplars"]["kind"] = "NobodysConfig"
    with pytest.raises(UsageError, match=r"NobodysConfig.*glyphs.*--plugin FILE"):
        RunConfig.from_dict(table)


# --- registries


def test_names_and_class_names_are_taken_once():
    """Files tell kinds apart by their class names."""
    registry: Registry[object] = Registry("thing", "transformer.data.modes")
    registry.register("a")(1)
    with pytest.raises(UsageError, match="'a'"):
        registry.register("a")(2)
    with pytest.raises(UsageError, match="'GaussianConfig'"):
        EXEMPLAR_KINDS.register("mine")(type("GaussianConfig", (EXEMPLAR_KINDS["gaussian"],), {}))
    assert "mine" not in EXEMPLAR_KINDS


def test_a_registry_whose_files_fail_is_scanned_again(tmp_path, monkeypatch):
    package = tmp_path / "half_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "bad.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    registry: Registry[object] = Registry("thing", "half_package")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            list(registry)
    (package / "bad.py").write_text("")
    registry.register("b")(1)
    registry.register("a")(2)
    assert list(registry) == ["a", "b"], "sorted"


# --- plugins that fail


def test_only_python_files_are_plugins(tmp_path, capsys):
    (tmp_path / "data.txt").touch()
    for name in ("missing.py", "data.txt", ""):
        assert main(["--plugin", str(tmp_path / name), "data"]) == 2
        assert "Python file" in capsys.readouterr().err


def test_a_plugin_that_fails_can_be_corrected_and_loaded_again(tmp_path):
    path = tmp_path / "broken_one.py"
    path.write_text(FILES["mode"].replace("neighbours", "broken") + "\n1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load_plugin(path)
    assert "broken" not in MODES
    path.write_text(path.read_text().replace("1 / 0", ""))
    load_plugin(path)
    assert "broken" in MODES
    MODES.reset({name: MODES[name] for name in MODES if name != "broken"})


def test_a_plugin_cannot_take_a_name_of_the_package_that_is_not_imported_yet(tmp_path):
    path = tmp_path / "thief.py"
    path.write_text(FILES["mode"].replace('"neighbours"', '"bursty"'))
    program = f"""
from transformer.config.registry import load_plugin
from transformer.config.data import MODES
try:
    load_plugin({str(path)!r})
except ValueError as error:
    print(error)
print(*MODES)
"""
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    error, names = printed.splitlines()
    assert "'bursty'" in error and {"bursty", "icl_only"} <= {*names.split()}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x = 1\ndef (", ("line 2",)),
        ("import nowhere_at_all", ("nowhere_at_all",)),
        ("x = 1\n\nraise ValueError('odd')", ("line 3", "ValueError", "odd")),
        ("open('/nowhere/x')", ("line 1", "FileNotFoundError", "/nowhere/x")),
        ("int('a\\nb')", ("ValueError",)),
    ],
)
@pytest.mark.parametrize("command", [["--plugin", "{}", "data"], ["sweep", "{}", "--runs", "runs"]])
def test_a_file_that_fails_is_named_in_one_line(tmp_path, capsys, command, text, names):
    path = tmp_path / "failing.py"
    path.write_text(text)
    assert main([word.format(path) for word in command]) == 2
    message = capsys.readouterr().err
    assert all(name in message for name in ("failing.py", *names)) and message.count("\n") == 1
