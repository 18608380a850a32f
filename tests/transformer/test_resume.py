"""A run that is stopped, however it is stopped, ends as if it had not been."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopetition.errors import UsageError, UserError
from tests.transformer.conftest import tiny_config
from transformer.checkpoint import DamagedCheckpoint, read_checkpoint
from transformer.config import OptimConfig
from transformer.runs import RunFolder, create_run, open_run
from transformer.train import Trainer, newest_checkpoint, resume, train, train_or_resume


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
    return train(tiny_config(), tmp_path_factory.mktemp("whole") / "run", device="cpu")


def stop_at(run: RunFolder, step: int) -> None:
    """Leave on disk what a kill right after `step` steps leaves."""
    trainer = Trainer(run)
    rows = [trainer.measure()]
    while trainer.step < step:
        trainer.advance()
        if trainer.step % run.config.evaluation.every == 0:
            rows.append(trainer.measure())
        if trainer.step % run.config.checkpoint_every == 0:
            trainer.save()
    run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("step", [3, 10, 17, 29, 39])
def test_resume_is_bitwise(whole, tmp_path, step):
    run = create_run(tmp_path / "run", whole.config, "cpu", whole.threads)
    stop_at(run, step)
    assert_same_run(whole, resume(run.path))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 10**6))
def test_resume_with_the_metrics_cut_at_any_byte(whole, tmp_path_factory, cut):
    """Metrics are on disk before the checkpoint after them; what is cut is later than it."""
    run = create_run(tmp_path_factory.mktemp("cut") / "run", whole.config, "cpu", whole.threads)
    stop_at(run, 25)
    content = run.metrics_path.read_bytes()
    safe = len(b"".join(content.splitlines(keepends=True)[:3]))  # steps 0, 7, 14 <= 20
    run.metrics_path.write_bytes(content[: safe + cut % (len(content) - safe + 1)])
    assert_same_run(whole, resume(run.path))


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
    return open_run(folder)


def test_sigkill_and_resume_are_bitwise(whole_smoke, tmp_path):
    """Killed before its first checkpoint, then again between two later ones."""
    folder = tmp_path / "run"
    process = start_smoke(folder)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 1, process)
    process.kill()
    process.communicate()
    assert open_run(folder).status()["status"] == "killed"
    command = [sys.executable, "-m", "transformer", "resume", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 4, process)
    process.kill()
    process.communicate()
    subprocess.run(command, check=True, capture_output=True)
    assert open_run(folder).status()["status"] == "finished"
    assert_same_run(whole_smoke, open_run(folder))


def test_sigint_checkpoints_and_exits_cleanly(whole_smoke, tmp_path):
    folder = tmp_path / "run"
    process = start_smoke(folder)
    wait_for(lambda: lines_in(folder / "metrics.jsonl") >= 2, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr
    run = open_run(folder)
    status = run.status()
    assert status["status"] == "interrupted"
    assert 50 <= status["step"] < 300
    resume(folder)
    for step in set(run.steps()) - set(whole_smoke.steps()):
        run.checkpoint_path(step).unlink()  # the one more that the interruption made
    assert_same_run(whole_smoke, run)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(whole, tmp_path):
    """The process dies with the temporary file complete but not yet in its place."""
    run = create_run(tmp_path / "run", whole.config, "cpu", whole.threads)
    code = f"""
import os, pathlib
from transformer.train import resume
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
    assert_same_run(whole, resume(run.path))
    assert not list(run.path.rglob(".*.tmp"))


def test_nothing_is_built_on_what_is_lost(whole, tmp_path):
    run = create_run(tmp_path / "run", whole.config, "cpu", whole.threads)
    stop_at(run, 25)
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
    run = create_run(tmp_path / "run", whole.config, "cpu", whole.threads)
    stop_at(run, 25)
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
    checkpoint = newest_checkpoint(run)
    assert checkpoint is not None and checkpoint.step == 10
    assert path.name in capsys.readouterr().err
    assert_same_run(whole, resume(run.path))


def test_a_finished_run_whose_last_checkpoint_is_damaged_is_finished_again(whole, tmp_path, capsys):
    run = train(whole.config, tmp_path / "run", device="cpu")
    last = run.checkpoint_path(40)
    last.write_bytes(last.read_bytes()[:100])
    assert run.status()["step"] == 30
    assert_same_run(whole, resume(run.path))
    assert last.name in capsys.readouterr().err


def test_a_full_disk_leaves_no_half_written_checkpoint(whole, tmp_path, monkeypatch):
    run = create_run(tmp_path / "run", whole.config, "cpu", whole.threads)
    trainer = Trainer(run)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.save()
    assert run.steps() == []
    assert not [file for file in run.path.rglob("*") if file.suffix in (".tmp", ".safetensors")]


def test_a_diverging_run_fails_and_keeps_its_checkpoints(tiny, tmp_path):
    config = replace(tiny, optim=OptimConfig(learning_rate=1e30), checkpoint_every=1)
    with pytest.raises(UserError, match=r"the loss became .* lower learning_rate"):
        train(config, tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    assert run.status()["status"] == "failed"
    for step in run.steps():
        assert read_checkpoint(run.checkpoint_path(step)).tensors["loss_sum"].isfinite()
    one_step = replace(config, n_steps=1)  # the first loss is sound, what it leads to is not
    with pytest.raises(UserError, match="the loss became"):
        train(one_step, tmp_path / "one", device="cpu")
    assert open_run(tmp_path / "one").steps() == []


def test_a_checkpoint_of_another_run_or_other_data_is_refused(whole, tiny, tmp_path):
    other = create_run(tmp_path / "other", replace(tiny, data_seed=77), "cpu", 1)
    checkpoint = read_checkpoint(whole.checkpoint_path(40))
    with pytest.raises(UserError, match="is of run"):
        Trainer(other).restore(checkpoint)
    with pytest.raises(UserError, match="exemplars are not those"):
        Trainer(whole).restore(replace(checkpoint, exemplars="0" * 16))


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
    short = train(replace(whole.config, n_steps=20), tmp_path / "run", device="cpu")
    assert short.config.run_id() == whole.config.run_id()
    longer = train_or_resume(whole.config, short.path)
    rows = {row["step"]: row for row in longer.metrics()}
    for row in whole.metrics():
        if row["step"] != 21:  # the mean loss before it begins at 20, where the short run ended
            assert rows[row["step"]] == row
    for name, value in read_checkpoint(longer.checkpoint_path(40)).tensors.items():
        if name not in ("loss_sum", "step_count"):
            assert torch.equal(value, read_checkpoint(whole.checkpoint_path(40)).tensors[name])
    with pytest.raises(UsageError, match="before the checkpoint of step 40"):
        resume(short.path, n_steps=30)


def test_chance_levels_at_initialisation(tmp_path, tiny):
    evaluation = replace(tiny.evaluation, n_sequences=4000)
    run = create_run(tmp_path / "run", replace(tiny, evaluation=evaluation), "cpu", 1)
    table = Trainer(run).evaluate()
    for name in ("train", "icl", "flip", "ciwl"):
        # 4,000 sequences: s.d. 0.008; 20 classes leave a bias of a few per cent
        assert table[name]["in_context_accuracy"] == pytest.approx(0.5, abs=0.06)
    assert table["iwl"]["in_context_accuracy"] == 0
    assert table["iwl"]["in_context_loss"] is None
    assert table["iwl"]["accuracy"] == pytest.approx(1 / 20, abs=0.04)
    assert table["train"]["loss"] == pytest.approx(torch.tensor(20.0).log().item(), rel=0.25)
