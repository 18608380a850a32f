"""A run that is stopped, however it is stopped, ends as if it had not been."""

import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from coopetition.tools.errors import Interrupted, UsageError, UserError
from coopetition.tools.run_files import Row
from tests.transformer.conftest import tiny_config
from transformer.config import OptimConfig, RunConfig, StartConfig
from transformer.config.model import in_part
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.presets import PRESETS
from transformer.measures.metrics import means
from transformer.runs.checkpoint import DamagedCheckpoint, read_checkpoint, write_checkpoint
from transformer.runs.folder import (
    RunFolder,
    create_ensemble,
    create_run,
    load_run,
    load_runs,
    newest_checkpoint,
    newest_resumable,
    write_states,
)
from transformer.runs.loop import (
    evaluate_checkpoint,
    resume,
    train,
    train_or_resume,
    train_together,
)
from transformer.runs.metrics import first_missing, metrics_until
from transformer.runs.prepare import load_each
from transformer.training.ensemble import Ensemble
from transformer.training.machine import Machine

HERE = Machine("cpu", 1, "eager")


def ensemble_of(*runs: RunFolder) -> Ensemble:
    configs = [run.config for run in runs]
    return Ensemble(configs, load_each(configs), [run.evaluation_sets() for run in runs], HERE)


def without_time(rows: list[Row]) -> list[Row]:
    """Rows of metrics, but for what no two runs share."""
    return [row | {"seconds": None} for row in rows]


def assert_same_run(a: RunFolder, b: RunFolder) -> None:
    assert without_time(a.metrics()) == without_time(b.metrics())
    assert (a.steps(), a.state_steps()) == (b.steps(), b.state_steps())
    for step in a.steps():
        x, y = (run.checkpoint(step).tensors for run in (a, b))
        assert set(x) == set(y)
        for name in x:
            assert torch.equal(x[name], y[name]), (step, name)
        one, other = (run.checkpoint_path(step).read_bytes() for run in (a, b))
        assert one == other, step
    for step in a.state_steps():
        one, other = (run.state_path(step).read_bytes() for run in (a, b))
        assert one == other, step


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never stopped."""
    return train(tiny_config(), tmp_path_factory.mktemp("whole") / "run", HERE)


def stop_at(runs: list[RunFolder], step: int) -> None:
    """Leave on disk what a kill right after `step` steps leaves."""
    ensemble = ensemble_of(*runs)
    rows = [ensemble.metric_rows(ensemble.evaluate())]
    while ensemble.step < step:
        ensemble.advance()
        if ensemble.is_evaluation(ensemble.step):
            rows.append(ensemble.metric_rows(ensemble.evaluate()))
        if runs[0].config.is_checkpoint(ensemble.step):
            states = [*ensemble.checkpoints().values()]
            write_states(runs[0].path if len(runs) == 1 else runs[0].shared, runs, states)
    for number, run in enumerate(runs):
        lines = (json.dumps(row[number]) + "\n" for row in rows)
        run.metrics_path.write_text("".join(lines))


@pytest.mark.parametrize("step", [3, 10, 17, 29, 39])
def test_resume_is_bitwise(whole, tmp_path, step):
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], step)
    resume(run.path)
    assert_same_run(whole, run)


def test_resume_with_the_metrics_cut_at_any_byte(whole, tmp_path):
    """Metrics are on disk before the checkpoint after them; what is cut is later than it.

    All that a resume reads of the file is the same at any cut; so two are gone on with.
    """
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], 25)
    content = run.metrics_path.read_bytes()
    kept = b"".join(content.splitlines(keepends=True)[:3])  # steps 0, 7, 14 <= 20
    for cut in range(len(kept), len(content) + 1):
        run.metrics_path.write_bytes(content[:cut])
        assert metrics_until(run.metrics_path, 20) == (0.0, kept)
        assert first_missing(run.metrics_path, 7) == (28 if cut == len(content) else 21)
        assert len(run.metrics()) == (4 if cut == len(content) else 3)
    for cut in (len(kept) + 20, len(content) - 1):
        again = create_run(tmp_path / str(cut), whole.config, HERE)
        for kept in ("checkpoints", "state"):
            shutil.copytree(run.path / kept, again.path / kept)
        again.metrics_path.write_bytes(content[:cut])
        resume(again.path)
        assert_same_run(whole, again)


def test_a_run_goes_on_from_before_its_metrics_were_cut(whole, tmp_path, capsys):
    """Its newest checkpoint comes after lines that are lost; the one before does not."""
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], 25)
    lines = run.metrics_path.read_bytes().splitlines(keepends=True)
    run.metrics_path.write_bytes(b"".join([*lines[:2], lines[2][:30]]))
    resume(run.path)
    assert_same_run(whole, run)
    assert (
        "lacks a whole line of step 14; going on from the checkpoint of step 10"
        in capsys.readouterr().err
    )


def contents(folder):
    left_alone = (".lock", "status.json")
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in left_alone
    }


@pytest.mark.parametrize("status", ["finished", "running"])
def test_a_run_without_its_checkpoints_is_refused(whole, tmp_path, status):
    shutil.copytree(whole.path, tmp_path / "run")
    run = load_run(tmp_path / "run")
    run.set_status(status, "")
    shutil.rmtree(run.path / "checkpoints")
    shutil.rmtree(run.path / "state")
    before = contents(run.path)
    with pytest.raises(UserError, match="metrics up to step 40 but no checkpoint to go on from"):
        resume(run.path)
    assert contents(run.path) == before


@pytest.mark.parametrize("left", [[], [10, 20]])
def test_a_state_without_its_weights_is_told_of_and_can_take_their_place(whole, tmp_path, left):
    shutil.copytree(whole.path, tmp_path / "run")
    run = load_run(tmp_path / "run")
    for step in set(run.steps()) - {*left}:
        run.checkpoint_path(step).unlink()
    weights, state = run.checkpoint_path(40), run.state_path(40)
    before = contents(run.path)
    with pytest.raises(UserError) as refused:
        resume(run.path)
    assert (
        f"a state of step 40 but no weights of that step; put {weights} back, or copy {state} "
        in (str(refused.value))
    )
    assert contents(run.path) == before
    shutil.copy(state, weights)
    assert resume(run.path)[0].is_finished()
    assert evaluate_checkpoint(run) == evaluate_checkpoint(whole)


def test_a_checkpoint_that_only_the_sessions_tell_of_is_missed(tiny, tmp_path, monkeypatch):
    """Stopped by hand, gone on with, killed: neither schedule nor status knows of it."""
    config = replace(tiny, checkpoint_every=0)
    advance = Ensemble.advance

    def stopped_at_17(ensemble):
        advance(ensemble)
        if ensemble.step == 17:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Ensemble, "advance", stopped_at_17)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", HERE)
    run = load_run(tmp_path / "run")
    assert run.steps() == [17]
    run.set_status("running", "")  # as a resume that was killed leaves it
    run.checkpoint_path(17).unlink()
    run.state_path(17).unlink()
    before = contents(run.path)
    with pytest.raises(UserError, match="metrics up to step 14 but no checkpoint to go on from"):
        resume(run.path)
    assert contents(run.path) == before


def test_a_signal_before_training_ends_it_at_once(tiny, tmp_path, monkeypatch):
    """While steps are compiled, say; training goes on from where it was."""

    def interrupted(ensemble):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("compiled to the end")

    with monkeypatch.context() as patch:
        patch.setattr(Ensemble, "settle", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tiny, tmp_path / "run", HERE)
    run = load_run(tmp_path / "run")
    assert run.status()["status"] == "interrupted"
    resume(run.path)
    assert run.is_finished()


def test_a_checkpoint_beyond_the_end_is_told_of(tiny, tmp_path, capsys):
    config = replace(tiny, n_steps=2, checkpoint_at=(1, 3))
    run = train(config, tmp_path / "run", HERE)
    warning = "warning: checkpoint_at names step 3, but the run ends at step 2"
    assert warning in capsys.readouterr().err
    resume(run.path, n_steps=4)
    assert warning not in capsys.readouterr().err
    assert run.steps() == [1, 2, 3, 4]


def test_an_ensemble_without_its_checkpoints_is_refused(whole_ensemble, tmp_path):
    shutil.copytree(whole_ensemble[0].shared, tmp_path / "runs")
    folder = tmp_path / "runs"
    first = folder / whole_ensemble[0].path.name
    shutil.rmtree(folder / "checkpoints")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=rf"^{first} has a state of step 40 but no weights"):
        resume(folder)
    shutil.rmtree(folder / "state")
    with pytest.raises(UserError, match=rf"^{first} has metrics .* no checkpoint to go on from"):
        resume(folder)
    assert {p: c for p, c in before.items() if p.exists()} == contents(tmp_path)


def with_own_files(folder, at: dict[str, list[int]]) -> list[RunFolder]:
    """Give each run of an ensemble files of its own for some steps, and remove the ensemble's.

    So version 0.2 and earlier left an ensemble.
    """
    runs = load_runs(folder)
    for run in runs:
        for step in at[run.path.name]:
            state = replace(run.state(run.state_steps()[-1]), step=step)
            write_states(run.path, [run], [state])
    for kind in ("checkpoints", "state"):
        shutil.rmtree(folder / kind)
    return runs


def test_runs_without_a_common_checkpoint_are_told_what_they_have(whole_ensemble, tmp_path):
    shutil.copytree(whole_ensemble[0].shared, tmp_path / "runs")
    names = [run.path.name for run in whole_ensemble]
    with_own_files(tmp_path / "runs", {name: [40 if name == "icl" else 30] for name in names})
    with pytest.raises(UserError, match="has a checkpoint of step 30, but not all runs beside it"):
        resume(tmp_path / "runs")


def test_an_ensemble_with_a_file_for_each_run_goes_on(whole_ensemble, tmp_path):
    """As older versions left it; the states are then the ensemble's."""
    configs = {run.path.name: run.config for run in whole_ensemble}
    stop_at(create_ensemble(tmp_path / "runs", configs, HERE), 17)
    runs = with_own_files(tmp_path / "runs", {name: [10] for name in configs})
    assert [(run.steps(), run.state_steps()) for run in runs] == [([10], [10])] * len(runs)
    assert evaluate_checkpoint(runs[0]) == evaluate_checkpoint(whole_ensemble[0], 10)
    for one, other in zip(whole_ensemble, resume(tmp_path / "runs"), strict=True):
        assert_same_run(one, other)
        assert not list((other.path / "state").iterdir())


def test_an_ensemble_writes_one_file_a_step(whole_ensemble):
    folder = whole_ensemble[0].shared
    files = {str(path.relative_to(folder)) for path in folder.rglob("step_*")}
    weights = {f"checkpoints/step_{step:09d}.safetensors" for step in (10, 20, 30, 40)}
    assert files == weights | {"state/step_000000040.safetensors"}


def test_a_member_is_damaged_or_missing_alone(whole_ensemble, tmp_path):
    """In the file of all, by a byte of its own, or since it was given up before that step."""
    shutil.copytree(whole_ensemble[0].shared, tmp_path / "runs")
    first, *others = load_runs(tmp_path / "runs")
    path = first.checkpoint_path(40)
    content = bytearray(path.read_bytes())
    with safe_open(path, framework="pt") as file:
        name = file.keys()[-1]
        n_bytes = file.get_tensor(name).nbytes
    content[len(content) - n_bytes] ^= 1  # of the last tensor's first row
    path.write_bytes(content)
    sound = [run.is_sound(40) for run in (first, *others)]
    assert sound == [False] + [True] * len(others)
    with pytest.raises(DamagedCheckpoint, match="stranger"):
        read_checkpoint(path, "stranger")


def test_nothing_is_built_on_what_is_lost(whole, tmp_path):
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], 25)
    lines = run.metrics_path.read_bytes().splitlines(keepends=True)
    run.metrics_path.write_bytes(b"".join(lines[:1]))
    with pytest.raises(UserError, match="lacks a whole line of step 7"):
        resume(run.path)
    for step in run.state_steps():
        run.state_path(step).write_bytes(b"spoilt")
    run.metrics_path.write_bytes(b"".join(lines))
    with pytest.raises(UserError, match="step_000000010.* and there is no other to go on from"):
        resume(run.path)
    assert run.metrics_path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
@pytest.mark.parametrize("kind", ["weights", "state"])
def test_what_is_damaged_is_named_and_made_again(whole, tmp_path, capsys, kind, damage):
    """Weights from the state beside them, a state from the one before."""
    run = create_run(tmp_path / "run", whole.config, HERE)
    stop_at([run], 25)
    path = run.checkpoint_path(20) if kind == "weights" else run.state_path(20)
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
    if kind == "weights":
        newest, damaged = newest_checkpoint(run)
    else:
        (newest,), damaged = newest_resumable([run], up_to=40)
    assert newest is not None and newest.step == 10 and str(path) in damaged[0]
    resume(run.path)
    assert_same_run(whole, run)
    assert str(path) in capsys.readouterr().err


def test_a_finished_run_whose_last_checkpoint_is_damaged_is_finished_again(whole, tmp_path, capsys):
    run = train(whole.config, tmp_path / "run", HERE)
    last = run.checkpoint_path(40)
    last.write_bytes(last.read_bytes()[:100])
    assert run.status()["checkpoint"] == 30
    resume(run.path)
    assert_same_run(whole, run)
    assert last.name in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_written_checkpoint(whole, tmp_path, monkeypatch):
    run = create_run(tmp_path / "run", whole.config, HERE)
    checkpoint = ensemble_of(run).checkpoints()[0]

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(run.checkpoint_path(0), checkpoint)
    assert run.steps() == []
    assert not list((run.path / "checkpoints").iterdir()) and not list(run.path.rglob(".*.tmp"))


def test_a_diverging_run_stops_and_keeps_its_checkpoints(tiny, tmp_path):
    config = replace(tiny, optim=OptimConfig(learning_rate=1e30), checkpoint_every=1)
    with pytest.raises(UserError, match=r"not finite.*; lower learning_rate"):
        train(config, tmp_path / "run", HERE)
    run = load_run(tmp_path / "run")
    assert run.status()["status"] == "diverged"
    for step in run.steps():
        tensors = run.checkpoint(step).tensors
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
        a, b = run.state(40).tensors, alone.state(40).tensors
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
    # those that are finished are left as they are, and can go further without it
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"wild: the loss of step \d+ is not finite"):
        resume(tmp_path / "runs")
    assert contents(tmp_path) == before
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
    config = replace(
        tiny,
        model=replace(tiny.model, **MODELS[name]),
        evaluation=replace(tiny.evaluation, every=4, n_sequences=10),
        n_steps=8,
        checkpoint_every=3,
    )
    uncut = train(config, tmp_path / "whole", HERE)
    run = create_run(tmp_path / "run", config, HERE)
    stop_at([run], 5)
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
    for name in after:
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


@pytest.fixture
def handled():
    """Has this process handle a signal so, whatever started the tests; undone at the end."""
    before = {}

    def handled(kind, handler):
        before[kind] = signal.signal(kind, handler)

    yield handled
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.mark.parametrize(
    ("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_run_after_a_checkpoint(whole, tmp_path, monkeypatch, kind, code, handled):
    handled(kind, signal.default_int_handler)
    at_step(12, monkeypatch, lambda: signal.raise_signal(kind))
    with pytest.raises(Interrupted, match=f"{kind.name} at step 12; resume it") as caught:
        train(whole.config, tmp_path / "run", HERE)
    assert caught.value.exit_code == code
    run = load_run(tmp_path / "run")
    assert run.status()["status"] == "interrupted"
    assert run.steps() == [10, 12]
    resume(run.path)
    run.checkpoint_path(12).unlink()
    assert_same_run(whole, run)


def test_a_hangup_that_is_ignored_ends_nothing(whole, tmp_path, monkeypatch, handled):
    """As under `nohup`."""
    handled(signal.SIGHUP, signal.SIG_IGN)
    at_step(12, monkeypatch, lambda: signal.raise_signal(signal.SIGHUP))
    assert_same_run(whole, train(whole.config, tmp_path / "run", HERE))


def at_step(step, monkeypatch, action):
    """Do something when an ensemble has done so many steps."""
    advance = Ensemble.advance

    def advance_and_act(self):
        advance(self)
        if self.step == step:
            action()

    monkeypatch.setattr(Ensemble, "advance", advance_and_act)


def test_a_run_is_trained_outside_the_main_thread(whole, tmp_path):
    with ThreadPoolExecutor() as threads:
        run = threads.submit(train, whole.config, tmp_path / "run", HERE).result()
    assert_same_run(whole, run)


def test_training_leaves_the_process_as_it_was(tiny, tmp_path):
    run = train(replace(tiny, n_steps=1), tmp_path / "run", Machine("cpu", 2, "eager"))
    assert torch.get_num_threads() == 1
    evaluate_checkpoint(run)
    assert torch.get_num_threads() == 1


def test_a_folder_that_is_moved_ends_its_training(tiny, tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    at_step(12, monkeypatch, lambda: old.rename(new))
    with pytest.raises(UserError, match="moved or removed while it was trained"):
        train(tiny, old, HERE)
    assert not old.exists()
    monkeypatch.undo()
    assert resume(new)[0].steps() == [10, 20, 30, 40]


def test_every_session_is_on_record(tiny, tmp_path):
    run = train(replace(tiny, n_steps=20), tmp_path / "run", HERE)
    manifest = json.loads((run.path / "manifest.json").read_text())
    del manifest["sessions"]  # as one that was made before there were any
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    resume(run.path, n_steps=30)
    resume(run.path, n_steps=40, threads=2)
    manifest = json.loads((run.path / "manifest.json").read_text())
    steps = [(each["first_step"], each["last_step"]) for each in manifest["sessions"]]
    assert steps == [(20, 30), (30, 40)]
    assert [each["threads"] for each in manifest["sessions"]] == [1, 2]
    assert {each["why_threads"] for each in manifest["sessions"]} == {"as given or recorded"}
    last = manifest["sessions"][-1]
    assert last["versions"]["torch"] == version("torch")
    assert last["began"] <= last["ended"]
    assert load_run(run.path).machine.threads == 2


def test_what_older_runs_did_not_record_is_none(whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    run, added = load_run(tmp_path / "run"), ("seconds", "learning_rate", "gradient_norm")
    rows = [{k: v for k, v in row.items() if k not in added} for row in run.metrics()]
    run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert all(row[name] is None for row in run.metrics() for name in added)
    last = resume(run.path, n_steps=42)[0].metrics()[-1]
    assert last["step"] == 42 and all(last[name] > 0 for name in added)


def test_metrics_tell_rate_and_gradient_of_the_last_step(tiny, tmp_path):
    optim = OptimConfig(algorithm="sgd", learning_rate=0.1, schedule="inverse_sqrt", warmup_steps=9)
    config = replace(tiny, optim=optim, frozen=("labels",), checkpoint_every=1, n_steps=14)
    run = train(config, tmp_path / "run", HERE)
    first, *rows = run.metrics()
    assert first["learning_rate"] is None and first["gradient_norm"] is None
    for row in rows:
        step = row["step"]
        assert row["learning_rate"] == optim.rate(step)
        before, after = (run.checkpoint(at).tensors for at in (step - 1, step))
        moved = [after[name] - before[name] for name in before]
        norm = torch.cat([each.flatten() for each in moved]).norm() / optim.rate(step)
        assert row["gradient_norm"] == pytest.approx(norm.item(), rel=1e-3)
    assert sorted(row["seconds"] for row in rows) == [row["seconds"] for row in rows]


def failing(function, **options):
    def run(*inputs):
        raise RuntimeError("InductorError: none")

    return run


def test_a_run_that_cannot_be_compiled_is_trained_without(whole, tmp_path, monkeypatch, capsys):
    """Unless compiled steps were asked for."""
    monkeypatch.setattr(torch, "compile", failing)
    run = train(whole.config, tmp_path / "auto", Machine("cpu", 1, "auto"))
    assert run.machine.execution == "eager" == load_run(run.path).machine.execution
    assert "warning: the step could not be compiled" in capsys.readouterr().err
    assert_same_run(whole, run)
    with pytest.raises(UserError, match="could not be compiled"):
        train(whole.config, tmp_path / "compiled", Machine("cpu", 1, "compiled"))


def test_a_machine_that_is_given_is_used_when_a_run_goes_on(whole, tmp_path):
    run = create_run(tmp_path / "run", whole.config, Machine("cpu", 4000, "graph"))
    assert_same_run(whole, train_or_resume(whole.config, run.path, HERE))


def test_a_checkpoint_of_another_run_or_other_data_is_refused(whole, tiny, tmp_path):
    other = create_run(tmp_path / "other", replace(tiny, data_seed=77), HERE)
    checkpoint = whole.state(40)
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
    rows = {row["step"]: row for row in without_time(longer.metrics())}
    for row in without_time(whole.metrics()):
        if row["step"] != 21:  # the mean loss before it begins at 20, where the short run ended
            assert rows[row["step"]] == row
    for name, value in longer.state(40).tensors.items():
        if name not in ("loss_sum", "steps_since"):
            assert torch.equal(value, whole.state(40).tensors[name])
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


def test_a_resume_says_where_it_goes_on(whole, tmp_path, capsys):
    shutil.copytree(whole.path, tmp_path / "run")
    run = load_run(tmp_path / "run")
    stop_at([run], 20)
    resume(run.path)
    assert "continuing from step 20" in capsys.readouterr().err
    resume(run.path)
    assert "step" not in capsys.readouterr().err, "it is finished"


def test_a_resume_of_a_run_killed_before_its_first_checkpoint_says_so(whole, tmp_path, capsys):
    run = create_run(tmp_path / "run", whole.config, HERE)
    lines = whole.metrics_path.read_bytes().splitlines(keepends=True)
    run.metrics_path.write_bytes(b"".join(lines[:2]))
    run.set_status("running", "")
    assert (run.status()["step"], run.status()["checkpoint"]) == (7, None)
    resume(run.path)
    told = capsys.readouterr().err
    assert "first checkpoint" in told and "step 7" in told and "step 0" in told
    assert_same_run(whole, run)
    fresh = train(replace(whole.config, n_steps=7), tmp_path / "fresh", HERE)
    assert "step 0" not in capsys.readouterr().err
    assert (fresh.status()["step"], fresh.status()["checkpoint"]) == (7, 7)


def test_small_presets_have_checkpoints_on_the_way():
    for name in ("smoke", "quick"):
        config = PRESETS[name].make("cpu")
        assert config.checkpoint_every <= config.n_steps // 3
