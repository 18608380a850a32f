"""A run that is stopped, however it is stopped, ends as if it had not been."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from coopetition.tools.errors import UsageError, UserError
from tests.transformer.conftest import tiny_config
from transformer.config import OptimConfig, RunConfig, StartConfig
from transformer.config.parts import in_part
from transformer.data.evaluation_sets import evaluation_sets
from transformer.data.exemplars import load_exemplars
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.preset import PRESETS
from transformer.measures.metrics import means
from transformer.runs.checkpoint import DamagedCheckpoint, read_checkpoint
from transformer.runs.ensemble import create_ensemble, load_runs
from transformer.runs.folder import RunFolder, create_run, load_run, newest_checkpoints
from transformer.runs.machine import Machine
from transformer.training.ensemble import Ensemble, source_of
from transformer.training.loop import (
    evaluate_checkpoint,
    resume,
    save,
    train,
    train_or_resume,
    train_together,
)

HERE = Machine("cpu", 1, "eager")


def ensemble_of(*runs: RunFolder) -> Ensemble:
    configs = [run.config for run in runs]
    sources = {source_of(config): config.data.exemplars for config in configs}
    exemplars = {source: load_exemplars(each) for source, each in sources.items()}
    return Ensemble(configs, exemplars, [evaluation_sets(run) for run in runs], HERE)


def assert_same_run(a: RunFolder, b: RunFolder) -> None:
    assert a.metrics_path.read_bytes() == b.metrics_path.read_bytes()
    assert a.steps() == b.steps()
    for step in a.steps():
        x, y = (read_checkpoint(run.checkpoint_path(step)).tensors for run in (a, b))
        assert set(x) == set(y)
        for name in x:
            assert torch.equal(x[name], y[name]), (step, name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never stopped."""
    return train(tiny_config(), tmp_path_factory.mktemp("whole") / "run", HERE)


def stop_at(runs: list[RunFolder], step: int) -> None:
    """Leave on disk what a kill right after `step` steps leaves."""
    ensemble = ensemble_of(*runs)
    rows = [ensemble.metric_rows(ensemble.evaluate())]
    config = runs[0].config
    while ensemble.step < step:
        ensemble.advance()
        if ensemble.step % config.evaluation.every == 0:
            rows.append(ensemble.metric_rows(ensemble.evaluate()))
        if config.is_checkpoint(ensemble.step):
            save(runs, ensemble)
    for number, run in enumerate(runs):
        lines = (json.dumps(row[number]) + "\n" for row in rows)
        run.metrics_path.write_text("".join(lines))


@pytest.mark.parametrize("step", [3, 10, 17, 29, 39])
def test_resume_is_bitwise(whole, tmp_path, step):
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], step)
    resume(run.path)
    assert_same_run(whole, run)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 10**6))
def test_resume_with_the_metrics_cut_at_any_byte(whole, tmp_path_factory, cut):
    """Metrics are on disk before the checkpoint after them; what is cut is later than it."""
    run = create_run(tmp_path_factory.mktemp("cut") / "run", whole.config, HERE)
    stop_at([run], 25)
    content = run.metrics_path.read_bytes()
    safe = len(b"".join(content.splitlines(keepends=True)[:3]))  # steps 0, 7, 14 <= 20
    run.metrics_path.write_bytes(content[: safe + cut % (len(content) - safe + 1)])
    resume(run.path)
    assert_same_run(whole, run)


def start_smoke(folder) -> subprocess.Popen:
    command = [sys.executable, "-m", "transformer", "train", "--preset", "smoke"]
    command += ["--out", str(folder), "--threads", "1", "--device", "cpu"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


def lines_in(path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def whole_smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke") / "run"
    process = start_smoke(folder)
    output = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return load_run(folder)


def test_sigkill_and_resume_are_bitwise(whole_smoke, tmp_path):
    """Killed before its first checkpoint, then again between two later ones."""
    folder = tmp_path / "run"
    process = start_smoke(folder)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 1, process)
    process.kill()
    process.communicate()
    assert load_run(folder).status()["status"] == "killed"
    command = [sys.executable, "-m", "transformer", "resume", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 4, process)
    process.kill()
    process.communicate()
    subprocess.run(command, check=True, capture_output=True)
    assert load_run(folder).status()["status"] == "finished"
    assert_same_run(whole_smoke, load_run(folder))


def test_sigint_checkpoints_and_exits_cleanly(whole_smoke, tmp_path):
    folder = tmp_path / "run"
    process = start_smoke(folder)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 2, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    run = load_run(folder)
    status = run.status()
    assert status["status"] == "interrupted"
    assert 50 <= status["step"] < 300
    resume(folder)
    for step in set(run.steps()) - set(whole_smoke.steps()):
        run.checkpoint_path(step).unlink()  # the one more that the interruption made
    assert_same_run(whole_smoke, run)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(whole, tmp_path):
    """The process dies with the temporary file complete but not yet in its place."""
    run = create_run(tmp_path / "run", whole.config, HERE)
    code = f"""
import os, pathlib
from transformer.training.loop import resume
replace, count = os.replace, 0
def dying(source, target):
    if str(target).endswith("step_000000020.safetensors"):
        os._exit(9)
    replace(source, target)
os.replace = dying
resume(pathlib.Path({str(run.path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 9, done.stderr
    assert run.steps() == [10]
    assert list(run.path.rglob(".*.tmp"))
    resume(run.path)
    assert_same_run(whole, run)
    assert not list(run.path.rglob(".*.tmp"))


def test_nothing_is_built_on_what_is_lost(whole, tmp_path):
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], 25)
    lines = run.metrics_path.read_bytes().splitlines(keepends=True)
    run.metrics_path.write_bytes(b"".join(lines[:1]))
    with pytest.raises(UserError, match="lacks step 7"):
        resume(run.path)
    for step in run.steps():
        run.checkpoint_path(step).write_bytes(b"spoilt")
    run.metrics_path.write_bytes(b"".join(lines))
    with pytest.raises(UserError, match="and so are all others"):
        resume(run.path)
    assert run.metrics_path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(whole, tmp_path, capsys, damage):
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], 25)
    path = run.checkpoint_path(20)
    content = path.read_bytes()
    spoilt = {
        "truncated": content[: len(content) // 2],
        "flipped": content[:-10] + bytes([content[-10] ^ 1]) + content[-9:],
        "empty": b"",
        "foreign": b"this is no checkpoint at all",
    }
    path.write_bytes(spoilt[damage])
    with pytest.raises(DamagedCheckpoint, match=path.name):
        read_checkpoint(path)
    (newest,), damaged = newest_checkpoints([run])
    assert newest.step == 10 and path.name in damaged[0]
    resume(run.path)
    assert_same_run(whole, run)
    assert path.name in capsys.readouterr().err


def test_a_finished_run_whose_last_checkpoint_is_damaged_is_finished_again(whole, tmp_path, capsys):
    run = train(whole.config, tmp_path / "run", HERE)
    last = run.checkpoint_path(40)
    last.write_bytes(last.read_bytes()[:100])
    assert run.status()["step"] == 30
    resume(run.path)
    assert_same_run(whole, run)
    assert last.name in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_written_checkpoint(whole, tmp_path, monkeypatch):
    run = create_run(tmp_path / "run", whole.config, HERE)
    ensemble = ensemble_of(run)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save([run], ensemble)
    assert run.steps() == []
    assert not list((run.path / "checkpoints").iterdir()) and not list(run.path.rglob(".*.tmp"))


def test_a_diverging_run_stops_and_keeps_its_checkpoints(tiny, tmp_path):
    config = replace(tiny, optim=OptimConfig(learning_rate=1e30), checkpoint_every=1)
    with pytest.raises(UserError, match=r"not finite.*; lower learning_rate"):
        train(config, tmp_path / "run", HERE)
    run = load_run(tmp_path / "run")
    assert run.status()["status"] == "diverged"
    for step in run.steps():
        tensors = read_checkpoint(run.checkpoint_path(step)).tensors
        assert all(tensor.isfinite().all() for tensor in tensors.values())
    with pytest.raises(UserError, match=r"not finite.* start anew"):
        resume(run.path)


def test_a_diverging_run_says_at_which_step(tiny, tmp_path):
    """At such a rate the second or third step is beyond all numbers."""
    optim = OptimConfig(algorithm="sgd", learning_rate=1e30)
    with pytest.raises(UserError, match=r"the loss of step [23] is not finite"):
        train(replace(tiny, optim=optim), tmp_path / "run", HERE)


def ensemble_configs(tiny: RunConfig) -> dict[str, RunConfig]:
    """Runs that differ in all that may differ."""
    icl_only = replace(tiny.data, mode="icl_only", noise=0.1)
    few = replace(tiny.data, exemplars=replace(tiny.data.exemplars, seed=7), zipf_exponent=1.0)
    l2 = OptimConfig(learning_rate=3e-3, l2=(("attention", 1e-3),), clip_norm=0.5)
    return {
        "plain": tiny,
        "seed": replace(tiny, init_seed=9, data_seed=4),
        "icl": replace(tiny, data=icl_only, optim=l2),
        "few": replace(tiny, data=few, frozen=("input.0",)),
    }


@pytest.fixture(scope="module")
def whole_ensemble(tmp_path_factory):
    """Runs trained together that were never stopped."""
    folder = tmp_path_factory.mktemp("ensemble") / "runs"
    return train_together(ensemble_configs(tiny_config()), folder, HERE)


def test_runs_trained_together_are_what_they_are_alone(whole_ensemble, tmp_path):
    """Up to rounding: 1e-6 after so few steps."""
    for run in whole_ensemble:
        alone = train(run.config, tmp_path / run.path.name, HERE)
        a, b = run.checkpoint(40).tensors, alone.checkpoint(40).tensors
        assert set(a) == set(b)
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("step", [4, 17, 30])
def test_an_ensemble_resumes_bitwise(whole_ensemble, tmp_path, step):
    configs = {run.path.name: run.config for run in whole_ensemble}
    runs = create_ensemble(tmp_path / "runs", configs, HERE)
    stop_at(runs, step)
    for one, other in zip(whole_ensemble, resume(tmp_path / "runs"), strict=True):
        assert_same_run(one, other)


def test_in_an_ensemble_only_the_diverging_run_stops(whole_ensemble, tiny, tmp_path):
    wild = replace(tiny, optim=OptimConfig(learning_rate=1e30))
    configs = {**ensemble_configs(tiny), "wild": wild}
    with pytest.raises(UserError, match=r"wild: the loss of step \d+ is not finite"):
        train_together(configs, tmp_path / "runs", HERE)
    *sound, last = load_runs(tmp_path / "runs")
    assert last.status()["status"] == "diverged" and last.steps() == []
    for one, other in zip(whole_ensemble, sound, strict=True):
        assert other.status()["status"] == "finished"
        assert_same_run(one, other)
    # those that are finished can go further without it
    with pytest.raises(UserError, match="wild"):
        resume(tmp_path / "runs", n_steps=50)
    assert [run.steps()[-1:] for run in load_runs(tmp_path / "runs")] == [[50]] * 4 + [[]]


OPTIMISERS = {
    "adamw": OptimConfig(algorithm="adamw", weight_decay=0.1, schedule="cosine", decay_steps=30),
    "sgd": OptimConfig(algorithm="sgd", learning_rate=0.1),
    "momentum": OptimConfig(
        algorithm="sgd", momentum=0.9, schedule="inverse_sqrt", warmup_steps=5, clip_norm=0.1
    ),
    "norms": OptimConfig(l2=(("all", 1e-3),), penalty="norm"),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_resume_is_bitwise_for_every_optimiser(tiny, tmp_path, name):
    config = replace(tiny, optim=OPTIMISERS[name])
    uncut = train(config, tmp_path / "whole", HERE)
    run = create_run(tmp_path / "run", config, HERE)
    stop_at([run], 23)
    resume(run.path)
    assert_same_run(uncut, run)


MODELS = {
    "deep": {"mlp_ratio": 2, "positions": "rotary", "attention_bias": True},
    "resnet": {"encoder": "resnet", "positions": "sinusoidal"},
    "bare": {"norm": False, "bias": False, "initialiser": "paper"},
}


@pytest.mark.parametrize("name", MODELS)
def test_resume_is_bitwise_for_every_model(tiny, tmp_path, name):
    config = replace(tiny, model=replace(tiny.model, **MODELS[name]), n_steps=20)
    uncut = train(config, tmp_path / "whole", HERE)
    run = create_run(tmp_path / "run", config, HERE)
    stop_at([run], 13)
    resume(run.path)
    assert_same_run(uncut, run)


@pytest.mark.parametrize("step", [10, 20, 30])
def test_resume_from_any_checkpoint(whole, tmp_path, step):
    """Later ones are removed, as one does to try another end."""
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], 40)
    for later in (s for s in run.steps() if s > step):
        run.checkpoint_path(later).unlink()
    resume(run.path)
    assert_same_run(whole, run)


def test_a_run_can_start_from_another(whole, tiny, tmp_path):
    """The graft's half is the other run's and stays; the rest is drawn and learns."""
    start = StartConfig(path=str(whole.path), step=20, parts=("output.0",))
    config = replace(tiny, init_seed=11, start=start, frozen=("output.0",))
    grafted = train(config, tmp_path / "graft", HERE)
    assert grafted.config.start.run_id == whole.config.run_id()
    source, drawn = (
        whole.checkpoint(20).tensors,
        train(replace(tiny, init_seed=11, n_steps=1), tmp_path / "drawn", HERE),
    )
    after = grafted.checkpoint(40).tensors
    for name in grafted.checkpoint(40).tensors:
        if name.startswith(("optimiser", "steps", "loss")):
            continue
        taken = in_part(name, "output.0")
        assert torch.equal(after[name], source[name]) == taken, name
    assert drawn.steps() == [1]
    again = replace(config, start=replace(start, run_id="0" * 12))
    with pytest.raises(UsageError, match="but start.run_id=000000000000"):
        train(again, tmp_path / "again", HERE)
    narrow = replace(config, model=replace(tiny.model, d_model=8))
    with pytest.raises(UsageError, match="does not fit the model"):
        train(narrow, tmp_path / "narrow", HERE)


@pytest.mark.parametrize("name", [name for name, each in PRESETS.items() if each.after])
def test_presets_that_start_from_others_want_their_folder(name, tmp_path):
    with pytest.raises(UsageError, match="start.path is missing; give a run's folder"):
        train(PRESETS[name].make("cpu"), tmp_path / "run", HERE)
    assert not (tmp_path / "run").exists()


def test_a_run_outlives_what_it_started_from(whole, tiny, tmp_path):
    """Its checkpoints hold all that it took over."""
    shutil.copytree(whole.path, tmp_path / "source")
    start = StartConfig(path=str(tmp_path / "source"), step=20)
    run = train(replace(tiny, start=start, n_steps=20), tmp_path / "run", HERE)
    shutil.rmtree(tmp_path / "source")
    resume(run.path, n_steps=40)
    assert evaluate_checkpoint(load_run(run.path))[0] == 40


def test_an_ensemble_catches_up_with_a_member_that_went_further(tiny, tmp_path):
    folder = tmp_path / "pair"
    train_together({"a": tiny, "b": replace(tiny, init_seed=9)}, folder, HERE)
    resume(folder / "a", n_steps=50)
    assert [run.config.n_steps for run in load_runs(folder)] == [50, 40]
    assert [run.steps()[-1] for run in resume(folder)] == [50, 50]
    assert [run.steps()[-1] for run in resume(folder, n_steps=60)] == [60, 60]


def test_a_run_resumes_on_another_machine(whole, tmp_path):
    run = create_run(tmp_path / "run", whole.config, Machine("cpu", 4000, "graph"))
    with pytest.raises(UsageError, match="threads=4000"):
        resume(run.path)
    with pytest.raises(UsageError, match="'graph' needs a CUDA device"):
        resume(run.path, threads=1)
    resume(run.path, threads=1, execution="eager")
    assert_same_run(whole, run)


def test_a_finished_run_of_a_file_is_known_again(tiny, tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 4, 5)).astype(np.float32)
    np.save(tmp_path / "features.npy", values)
    exemplars = FeatureConfig(path=str(tmp_path / "features.npy"), n_classes=20, n_exemplars=4)
    config = replace(tiny, data=replace(tiny.data, exemplars=exemplars))
    run = train_or_resume(config, tmp_path / "run", HERE)
    assert run.config.run_id() != config.run_id(), "it knows the file's contents"
    assert train_or_resume(config, tmp_path / "run", HERE).steps() == run.steps()


def test_weights_from_elsewhere_are_taken_over(whole, tiny, tmp_path):
    path = tmp_path / "weights.safetensors"
    tensors = whole.checkpoint(40).tensors
    save_file({"W_U": tensors["W_U"]}, path)
    start = StartConfig(path=str(path), parts=("unembedding",))
    with pytest.raises(UsageError, match="b_U"):
        train(replace(tiny, start=start), tmp_path / "lacking", HERE)
    save_file({name: tensors[name] for name in ("W_U", "b_U")}, path)
    run = train(replace(tiny, start=start, frozen=("unembedding",)), tmp_path / "run", HERE)
    assert torch.equal(run.checkpoint(40).tensors["W_U"], tensors["W_U"])
    assert not torch.equal(run.checkpoint(40).tensors["W_E"], tensors["W_E"])


def test_a_checkpoint_of_another_run_or_other_data_is_refused(whole, tiny, tmp_path):
    other = create_run(tmp_path / "other", replace(tiny, data_seed=77), HERE)
    checkpoint = read_checkpoint(whole.checkpoint_path(40))
    with pytest.raises(UserError, match="is of run"):
        ensemble_of(other).restore(0, checkpoint)
    with pytest.raises(UserError, match="exemplars are not those"):
        ensemble_of(whole).restore(0, replace(checkpoint, exemplars="0" * 16))


def test_a_folder_is_trained_by_one_process_at_a_time(whole):
    with whole.lock():
        assert whole.status()["status"] == "finished"
        with pytest.raises(UserError, match="trained by another process"):
            resume(whole.path)


def test_finished_runs_are_left_as_they_are(whole, tiny):
    before = whole.metrics_path.read_bytes()
    assert train_or_resume(whole.config, whole.path).path == whole.path
    resume(whole.path)
    assert whole.metrics_path.read_bytes() == before
    for other in (replace(tiny, init_seed=99), replace(tiny, n_steps=20)):
        with pytest.raises(UsageError, match="holds another run"):
            train_or_resume(other, whole.path)
    with pytest.raises(UsageError, match="exists already"):
        train(tiny, whole.path)


def test_a_run_that_is_trained_further_is_the_longer_run(whole, tmp_path):
    short = train(replace(whole.config, n_steps=20), tmp_path / "run", HERE)
    assert short.config.run_id() == whole.config.run_id()
    longer = train_or_resume(whole.config, short.path)
    rows = {row["step"]: row for row in longer.metrics()}
    for row in whole.metrics():
        if row["step"] != 21:  # the mean loss before it begins at 20, where the short run ended
            assert rows[row["step"]] == row
    for name, value in read_checkpoint(longer.checkpoint_path(40)).tensors.items():
        if name not in ("loss_sum", "steps_since"):
            assert torch.equal(value, read_checkpoint(whole.checkpoint_path(40)).tensors[name])
    with pytest.raises(UsageError, match="before the checkpoint of step 40"):
        resume(short.path, n_steps=30)


def test_chance_levels_at_initialisation(tmp_path, tiny):
    evaluation = replace(tiny.evaluation, n_sequences=4000)
    run = create_run(tmp_path / "run", replace(tiny, evaluation=evaluation), HERE)
    each = ensemble_of(run).evaluate()[0]
    table = {name: means(metrics) for name, metrics in each.items()}
    for name in ("train", "icl", "flip", "ciwl"):
        # 4,000 sequences: s.d. 0.008; 20 classes leave a bias of a few per cent
        assert table[name]["in_context_accuracy"] == pytest.approx(0.5, abs=0.06)
    assert table["iwl"]["in_context_accuracy"] == 0
    assert table["iwl"]["in_context_loss"] is None
    assert table["iwl"]["accuracy"] == pytest.approx(1 / 20, abs=0.04)
    assert table["train"]["loss"] == pytest.approx(torch.tensor(20.0).log().item(), rel=0.25)
