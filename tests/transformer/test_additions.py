"""What docs/how_to_add.md adds from outside, by one file each, works like the package's own."""

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
from transformer.data.evaluators import evaluation_sets
from transformer.experiments.plans import load_plan
from transformer.experiments.presets import PRESETS
from transformer.measures.of_models import MODEL_MEASURES
from transformer.measures.of_runs import MEASURES
from transformer.runs.folder import load_run
from transformer.runs.loop import evaluate_checkpoint, resume, train
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
    """The files by what they add, loaded; what they add is gone afterwards."""
    folder = tmp_path_factory.mktemp("plugins")
    paths = {name: folder / f"{name}_of_mine.py" for name in FILES}
    for name, path in paths.items():
        path.write_text(FILES[name])
        load_plugin(path)
        load_plugin(path)  # once is enough, twice does no harm
    yield paths
    for registry, name in (
        (EXEMPLAR_KINDS, "steps_of_place"),
        (MODES, "neighbours"),
        (EVALUATORS, "of_the_mode"),
        (ENCODERS, "row_sums"),
        (PRESETS, "mine"),
        (MEASURES, "label_bias"),
        (MODEL_MEASURES, "query_self"),
        (INTERVENTIONS, "Uniform"),
    ):
        registry.reset({each: registry[each] for each in registry if each != name})


@pytest.fixture(scope="module")
def config(added) -> RunConfig:
    tiny = tiny_config()
    data = replace(tiny.data, exemplars=EXEMPLAR_KINDS["steps_of_place"](), mode="neighbours")
    return replace(tiny, data=data, evaluation=replace(tiny.evaluation, also=("of_the_mode",)))


def test_they_are_trained_on_evaluated_and_resumed(config, tmp_path):
    run = train(replace(config, n_steps=10), tmp_path / "run", HERE)
    assert load_run(run.path).config == run.config, "the manifest tells the kind"
    (run,) = resume(run.path, n_steps=20)
    whole = train(replace(config, n_steps=20), tmp_path / "whole", HERE)
    for name, tensor in whole.state(20).tensors.items():
        if name != "steps_since":
            assert torch.equal(tensor, run.state(20).tensors[name]), name
    drawn = evaluation_sets(run)["of_the_mode"]
    classes = (drawn.exemplars // 4).numpy()
    assert ((np.diff(np.roll(classes, 1, axis=0), axis=0) - 1) % 20 == 0).all()
    table = evaluate_checkpoint(run).metrics
    assert set(table) == {"train", "icl", "ciwl", "flip", "iwl", "of_the_mode"}
    assert run.metrics()[-1]["of_the_mode/loss"] == pytest.approx(table["of_the_mode"]["loss"])


def test_the_commands_know_them(added, capsys, monkeypatch):
    monkeypatch.setattr("transformer.training.cost.TIMED_S", 0.02)
    assert main(["--plugin", str(added["mode"]), "data"]) == 0
    listed = capsys.readouterr().out
    for line in ("those after it, in order", "What the run is trained on", "1 up to place k"):
        assert line in listed
    kind = ["--exemplars", "steps_of_place"]
    with pytest.raises(SystemExit) as end:
        main(["train", "--preset", "smoke", *kind, "--help"])
    assert end.value.code == 0 and "--data.exemplars.height" in capsys.readouterr().out
    new = ["--data.mode", "neighbours", "--evaluation.also", "of_the_mode", "--execution", "eager"]
    train_ = ["train", "--preset", "smoke", "--out", "unused", "--dry-run", "--json"]
    assert main([*train_, *kind, *new]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["features"] == 256, "one for each of the preset's classes"
    assert main(["train", "--preset", "mine", "--out", "unused", "--dry-run", "--json"]) == 0


def test_an_encoder_makes_features_that_are_trained_on(added, call, tmp_path):
    features = tmp_path / "features.safetensors"
    flags = ["--encoder", "row_sums", "--encoder.side", "12", "--reduction.components", "4"]
    drawings = ["--drawings", "glyphs", "--data.n-classes", "30", "--data.n-exemplars", "4"]
    call("transformer", "embed", *flags, *drawings, "--out", features)
    measured = json.loads(call("transformer", "separation", "--json", "--data.path", features))
    assert measured["d_features"] == 4 and measured["n_candidates"] == 30
    path = ["--exemplars", "features", "--data.exemplars.path", features, "--execution", "eager"]
    call(
        "transformer", "train", "--preset", "smoke", *path, "--n-steps", 3, "--out", tmp_path / "r"
    )
    exemplars = load_run(tmp_path / "r").config.data.exemplars
    assert "encoder.side=12" in exemplars.made_by and exemplars.fingerprint


def test_a_measure_and_a_plan_are_taken(added, config, tmp_path):
    run = train(replace(config, n_steps=10), tmp_path / "run", HERE)
    (row,) = MEASURES["label_bias"](run)
    assert row["step"] == 10 and row["std"] >= 0
    assert [*load_plan(str(added["plan"]), "cpu").nodes] == ["first", "graft", "events"]


def test_an_intervention_and_a_measure_of_models_are_taken(added, config, tmp_path, call):
    """Together: a query that sees all alike sees itself by a fifth."""
    uniform = {"Uniform": {"heads": ["0:*", "1:*"]}}
    run = train(replace(config, n_steps=10), tmp_path / "run", HERE)
    flags = ["--measures", "query_self", "--evaluators", "icl", "--intervene", json.dumps(uniform)]
    call("transformer", "measure", run.path, *flags, "--out", tmp_path / "table.csv")
    found = pd.read_csv(tmp_path / "table.csv")
    assert len(found) == 2 * config.model.n_heads
    assert found["value"].to_numpy() == pytest.approx(1 / 5)


def test_without_their_files_the_message_names_what_there_is(config):
    table = json.loads(json.dumps(to_dict(config)))
    table["data"]["exemplars"]["kind"] = "NobodysConfig"
    with pytest.raises(UsageError, match=r"NobodysConfig.*glyphs.*--plugin FILE"):
        RunConfig.from_dict(table)


def test_a_name_is_taken_once():
    registry: Registry[object] = Registry("thing", "transformer.data.modes")
    registry.register("a")(1)
    with pytest.raises(UsageError, match="the thing 'a' is there already"):
        registry.register("a")(2)


@pytest.mark.parametrize("name", ["missing.py", "data.txt", ""])
def test_what_is_no_plugin_is_refused(tmp_path, name, capsys):
    (tmp_path / "data.txt").write_text("")
    assert main(["--plugin", str(tmp_path / name), "data"]) == 2
    assert "is not a Python file" in capsys.readouterr().err


def test_a_plugin_that_fails_can_be_mended_and_loaded_again(tmp_path):
    path = tmp_path / "broken_one.py"
    path.write_text(FILES["mode"].replace("neighbours", "broken") + "\n1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load_plugin(path)
    assert "broken" not in MODES
    path.write_text(path.read_text().replace("1 / 0", ""))
    load_plugin(path)
    assert "broken" in MODES
    MODES.reset({name: MODES[name] for name in MODES if name != "broken"})


def in_a_new_process(lines: str) -> str:
    """What a program prints that has imported nothing yet."""
    run = [sys.executable, "-c", lines]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


def test_a_name_of_the_package_is_taken_before_it_is_asked_for(tmp_path):
    path = tmp_path / "thief.py"
    path.write_text(FILES["mode"].replace('"neighbours"', '"bursty"'))
    lines = f"""
from transformer.config.registry import load_plugin
from transformer.config.data import MODES
try:
    load_plugin({str(path)!r})
except ValueError as error:
    print(error)
print(*MODES)
"""
    first, names = in_a_new_process(lines).splitlines()
    assert first == "the data mode 'bursty' is there already; choose another name"
    assert names.split() == sorted(names.split()) and {"bursty", "icl_only"} <= {*names.split()}


def test_a_class_name_that_kept_configs_tell_a_kind_by_is_taken_once():
    with pytest.raises(UsageError, match="a kind of exemplars has the class name 'GaussianConfig'"):
        EXEMPLAR_KINDS.register("mine")(type("GaussianConfig", (EXEMPLAR_KINDS["gaussian"],), {}))
    assert "mine" not in EXEMPLAR_KINDS


def test_a_registry_whose_files_fail_is_not_taken_for_whole(tmp_path, monkeypatch):
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
    assert list(registry) == []
    registry.register("b")(1)
    registry.register("a")(2)
    assert list(registry) == ["a", "b"], "sorted"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef (", "line 2"),
        ("import nowhere_at_all", "nowhere_at_all"),
    ],
)
def test_a_plugin_that_python_cannot_read_is_told_in_a_line(tmp_path, text, message):
    path = tmp_path / "unsound.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as told:
        load_plugin(path)
    assert "unsound.py" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("raise ValueError('odd')", ("ValueError", "odd")),
        ("open('/nowhere/x')", ("FileNotFoundError", "/nowhere/x")),
        ("int('a\\nb')", ("ValueError",)),
    ],
)
@pytest.mark.parametrize("command", [["--plugin", "{}", "data"], ["sweep", "{}", "--runs", "runs"]])
def test_a_file_that_raises_is_told_in_a_line(tmp_path, capsys, command, statement, names):
    path = tmp_path / "raising.py"
    path.write_text(f"x = 1\n\n{statement}\n")
    assert main([word.format(path) for word in command]) == 2
    told = capsys.readouterr().err
    assert all(name in told for name in ("raising.py", "line 3", *names))
    assert told.count("\n") == 1
