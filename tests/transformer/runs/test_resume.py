"""A run that is stopped, however it is stopped, ends as if it had not been."""

import json
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version

import pytest
import torch
from safetensors import safe_open

from coopetition.tools.errors import Interrupted, UsageError, UserError
from tests.transformer.conftest import (
    HERE,
    assert_same_run,
    contents,
    tiny_config,
    without_time,
)
from transformer.config import OptimConfig, RunConfig
from transformer.data.exemplar_sets import load_exemplars
from transformer.runs.checkpoint import DamagedCheckpoint, read_checkpoint, serialise
from transformer.runs.evaluation import evaluate_checkpoint
from transformer.runs.folder import (
    RunFolder,
    create_run,
    load_run,
    load_runs,
    lock,
    set_status,
)
from transformer.runs.metrics import first_missing, metrics_until
from transformer.runs.recovery import plan_recovery, read_statuses
from transformer.runs.train import (
    Diverged,
    in_memory,
    resume,
    train,
    train_or_resume,
    train_together,
)
from transformer.runs.writer import write_states
from transformer.training import machine
from transformer.training.ensemble import Ensemble
from transformer.training.machine import Machine

ALL = {"keep": ("all", "all")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that was never stopped; all states are kept."""
    return train(replace(tiny_config(), **ALL), tmp_path_factory.mktemp("whole") / "run", HERE)


def ensemble_configs() -> dict[str, RunConfig]:
    """Runs that differ in all that may differ."""
    tiny = replace(tiny_config(), **ALL)
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
    return train_together(ensemble_configs(), tmp_path_factory.mktemp("ensemble") / "runs", HERE)


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of the run that was never stopped."""
    shutil.copytree(whole.path, tmp_path / "run")
    return load_run(tmp_path / "run")


@pytest.fixture
def copied_ensemble(whole_ensemble, tmp_path):
    """The folder of a copy of the ensemble that was never stopped."""
    return shutil.copytree(whole_ensemble[0].shared, tmp_path / "runs")


def stopped(whole: RunFolder, folder, step: int) -> RunFolder:
    """The first run in a copy of a run, or of an ensemble, as a kill after `step` steps left it."""
    shutil.copytree(whole.shared, folder)
    for path in folder.rglob("step_*"):
        if int(path.stem.removeprefix("step_")) > step:
            path.unlink()
    for run in load_runs(folder):
        lines = [line for line in metric_lines(run) if json.loads(line)["step"] <= step]
        run.metrics_path.write_bytes(b"".join(lines))
        manifest = json.loads((run.path / "manifest.json").read_text())
        (run.path / "manifest.json").write_text(json.dumps(manifest | {"sessions": []}))
        set_status([run], "running", "")
    return load_runs(folder)[0]


def metric_lines(run: RunFolder) -> list[bytes]:
    return run.metrics_path.read_bytes().splitlines(keepends=True)


def at_step(step, monkeypatch, action):
    """Do something when an ensemble has done so many steps."""
    advance = Ensemble.advance

    def advance_and_act(self):
        advance(self)
        if self.step == step:
            action()

    monkeypatch.setattr(Ensemble, "advance", advance_and_act)


# exact resume


@pytest.mark.parametrize("step", [3, 10, 17, 29, 39])
def test_resume_is_bitwise(whole, whole_ensemble, tmp_path, step):
    """Alone and together."""
    resume(stopped(whole, tmp_path / "run", step).path)
    assert_same_run(whole, load_run(tmp_path / "run"))
    stopped(whole_ensemble[0], tmp_path / "runs", step)
    for one, other in zip(whole_ensemble, resume(tmp_path / "runs"), strict=True):
        assert_same_run(one, other)


SETTINGS = {  # fields of optimiser, model and run
    "adamw": ({"algorithm": "adamw", "weight_decay": 0.1},),
    "sgd": ({"algorithm": "sgd", "learning_rate": 0.1},),
    "momentum": ({"algorithm": "sgd", "momentum": 0.9, "schedule": "inverse_sqrt",
                  "warmup_steps": 5, "clip_norm": 0.1},),
    "norms": ({"l2": (("all", 1e-3),), "penalty": "norm"},),
    "deep": ({}, {"mlp_ratio": 2, "positions": "rotary", "attention_bias": True}),
    "resnet": ({}, {"encoder": "resnet", "positions": "sinusoidal"}),
    "bare": ({}, {"norm": False, "bias": False, "initialiser": "paper"}),
    "float64": ({}, {}, {"precision": "float64"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_resume_is_bitwise_for_every_optimiser_and_model(tiny, tmp_path, name):
    optim, model, run = (*SETTINGS[name], {}, {})[:3]
    config = replace(
        tiny,
        model=replace(tiny.model, **model),
        optim=OptimConfig(**optim),
        evaluation=replace(tiny.evaluation, every=4, n_sequences=10),
        n_steps=8,
        checkpoint_every=3,
        **ALL,
        **run,
    )
    uncut = train(config, tmp_path / "whole", HERE)
    resume(stopped(uncut, tmp_path / "run", 5).path)
    assert_same_run(uncut, load_run(tmp_path / "run"))


def test_runs_trained_together_are_what_they_are_alone(whole_ensemble, tmp_path):
    """Up to rounding: 1e-6 after so few steps."""
    for run in whole_ensemble:
        alone = train(run.config, tmp_path / run.path.name, HERE)
        a, b = run.state(40).tensors, alone.state(40).tensors
        assert set(a) == set(b)
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6, msg=name)


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
    with pytest.raises(UsageError, match="checkpoint of step 40"):
        resume(short.path, n_steps=30)


# lost and damaged files


def test_resume_with_the_metrics_cut_at_any_byte(whole, tmp_path, capsys):
    """It continues from the newest checkpoint whose metrics are whole."""
    run = stopped(whole, tmp_path / "run", 25)
    content, lines = run.metrics_path.read_bytes(), metric_lines(run)
    for cut in range(len(content) + 1):
        run.metrics_path.write_bytes(content[:cut])
        n_whole = content[:cut].count(b"\n")
        assert first_missing(run.metrics_path, 7, 40) == 7 * n_whole
        assert metrics_until(run.metrics_path, 20)[1] == b"".join(lines[: min(n_whole, 3)])
        assert len(run.metrics()) == n_whole
    for n_whole, step in ((3, 20), (2, 10)):
        again = load_run(shutil.copytree(run.path, tmp_path / str(step)))
        again.metrics_path.write_bytes(b"".join(lines[:n_whole]) + lines[n_whole][:30])
        resume(again.path)
        assert_same_run(whole, again)
        warning = capsys.readouterr().err
        assert f"from step {step}" in warning and ("line of step 14" in warning) == (step == 10)


def without_checkpoints(folder, status):
    for kind in ("checkpoints", "state"):
        shutil.rmtree(folder / kind)
    for run in load_runs(folder):
        set_status([run], status, "")


def with_spoilt_states(folder):
    for path in folder.glob("state/*"):  # the oldest is named: nothing is before it
        path.write_bytes(b"spoilt")


def with_metrics_to(folder, n_lines):
    run = load_runs(folder)[-1]
    run.metrics_path.write_bytes(b"".join(metric_lines(run)[:n_lines]) + b"spoilt")


def without_checkpoints_and_first_line(folder):
    without_checkpoints(folder, "finished")
    for run in load_runs(folder):
        run.metrics_path.write_bytes(b"spoilt\n" + b"".join(metric_lines(run)[1:]))


def test_a_damaged_line_of_a_finished_run_is_shown_as_resume_refuses_it(copied):
    lines = metric_lines(copied)
    copied.metrics_path.write_bytes(b"".join([*lines[:3], b"spoilt\n", *lines[4:]]))
    with pytest.raises(UserError, match="line 4 of") as caught:
        resume(copied.path)
    (status,) = read_statuses([copied])
    assert (status["resumes_from"], status["damaged"]) == (None, [str(caught.value)])


@pytest.mark.parametrize("n_runs", [1, 4])
@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (without_checkpoints_and_first_line, "line 1 of"),
        (lambda folder: without_checkpoints(folder, "finished"), "metrics up to step 40 but no"),
        (lambda folder: without_checkpoints(folder, "running"), "metrics up to step 40 but no"),
        (with_spoilt_states, "step_000000010"),
        (lambda folder: with_metrics_to(folder, 1), "line of step 7"),
    ],
)
def test_nothing_is_built_on_what_is_lost(whole, whole_ensemble, tmp_path, n_runs, spoil, named):
    """`show` says so as `resume` does, and every file stays."""
    source = whole.path if n_runs == 1 else whole_ensemble[0].shared
    folder = shutil.copytree(source, tmp_path / "run")
    spoil(folder)
    before = contents(folder)
    with pytest.raises(UserError, match=named) as caught:
        resume(folder, n_steps=60)
    assert contents(folder) == before
    runs = load_runs(folder)
    assert plan_recovery(runs).refusal == str(caught.value)
    for status in read_statuses(runs):
        assert status["resumes_from"] is None and named in " ".join(status["damaged"])
        assert (status["status"], status["message"]) == ("damaged", str(caught.value))


def test_a_last_line_that_is_lost_is_made_again(whole, copied):
    """From the state before it, not from the last, at which nothing is left to do."""
    copied.metrics_path.write_bytes(b"".join(metric_lines(copied)[:-1]))
    resume(copied.path)
    assert_same_run(whole, copied)


def test_a_line_that_is_lost_at_the_old_end_is_missed_when_the_end_moves(tiny, tmp_path):
    run = train(replace(tiny, n_steps=38), tmp_path / "run", HERE)
    assert (run.metrics()[-1]["step"], run.state_steps()) == (38, [38])
    run.metrics_path.write_bytes(b"".join(metric_lines(run)[:-1]))
    with pytest.raises(UserError, match="line of step 38"):
        resume(run.path, n_steps=45)


@pytest.mark.parametrize("left", [[], [10, 20]])
def test_lost_weights_are_written_again_from_the_state(whole, copied, left):
    for step in {*copied.steps()} - {*left}:
        copied.checkpoint_path(step).unlink()
    assert resume(copied.path)[0].is_finished() and copied.steps() == [*left, 40]
    assert evaluate_checkpoint(copied) == evaluate_checkpoint(whole)


def test_damaged_weights_of_a_finished_run_are_written_again(whole, copied):
    last = copied.checkpoint_path(40)
    last.write_bytes(last.read_bytes()[:100])
    resume(copied.path)
    assert_same_run(whole, copied)


def test_a_checkpoint_that_only_the_sessions_tell_of_is_missed(tiny, tmp_path, monkeypatch):
    """Interrupted, resumed, killed: neither schedule nor status knows of it."""
    at_step(17, monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted):
        train(replace(tiny, checkpoint_every=0), tmp_path / "run", HERE)
    run = load_run(tmp_path / "run")
    assert run.steps() == [17]
    set_status([run], "running", "")  # as a killed resume leaves it
    run.checkpoint_path(17).unlink()
    run.state_path(17).unlink()
    before = contents(run.path)
    with pytest.raises(UserError, match="metrics up to step 14 but no checkpoint"):
        resume(run.path)
    assert contents(run.path) == before


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "another run's"])
@pytest.mark.parametrize("kind", ["weights", "state"])
def test_a_damaged_file_is_named_and_written_again(whole, tmp_path, capsys, kind, damage):
    """Weights from the state beside them, a state from the one before."""
    run = stopped(whole, tmp_path / "run", 25)
    path, read = {
        "weights": (run.checkpoint_path(20), run.checkpoint),
        "state": (run.state_path(20), run.state),
    }[kind]
    content, other = path.read_bytes(), replace(read(20), run_id="0" * 16)
    spoilt = {
        "truncated": content[: len(content) // 2],
        "flipped": content[:-10] + bytes([content[-10] ^ 1]) + content[-9:],
        "empty": b"",
        "foreign": b"this is no checkpoint at all",
        "another run's": serialise(other),
    }
    path.write_bytes(spoilt[damage])
    with pytest.raises(DamagedCheckpoint, match=path.name):
        read(20)
    recovery, (status,) = plan_recovery([run]), read_statuses([run])
    sound, spoilt = (20, 10) if kind == "weights" else (10, 20)
    assert (status["resumes_from"], status["checkpoint"]) == (sound, spoilt)
    assert recovery.step == sound and recovery.problems == status["damaged"]
    (problem,) = recovery.problems
    resume(run.path)
    assert_same_run(whole, run)
    shown = capsys.readouterr().err
    assert str(path) in problem in shown and f"step {sound}" in shown


def test_an_ensemble_writes_one_file_a_step(whole_ensemble):
    folder = whole_ensemble[0].shared
    files = {str(path.relative_to(folder)) for path in folder.rglob("step_*")}
    assert files == {
        f"{kind}/step_{step:09d}.safetensors"
        for kind in ("checkpoints", "state")
        for step in (10, 20, 30, 40)
    }


def test_a_member_is_damaged_or_missing_alone(copied_ensemble):
    """By a byte of its own in the file of all, or since it was given up before that step."""
    first, *others = load_runs(copied_ensemble)
    path = first.checkpoint_path(40)
    content = bytearray(path.read_bytes())
    with safe_open(path, framework="pt") as file:
        n_bytes = file.get_tensor(file.keys()[-1]).nbytes
    content[len(content) - n_bytes] ^= 1  # of the last tensor's first row
    path.write_bytes(content)
    assert [run.is_sound(40) for run in (first, *others)] == [False] + [True] * len(others)
    with pytest.raises(DamagedCheckpoint, match="stranger"):
        read_checkpoint(path, "stranger")


def with_own_files(folder, at: dict[str, list[int]]) -> list[RunFolder]:
    """Give each run of an ensemble its own files of some steps, as older versions did."""
    runs = load_runs(folder)
    for run in runs:
        for step in at[run.path.name]:
            write_states(run.path, [run], [replace(run.state(run.state_steps()[-1]), step=step)])
    for kind in ("checkpoints", "state"):
        shutil.rmtree(folder / kind)
    return runs


def test_runs_without_a_common_state_are_refused(copied_ensemble):
    names = ensemble_configs()
    with_own_files(copied_ensemble, {name: [40 if name == "icl" else 30] for name in names})
    with pytest.raises(UserError, match="state of step 30, but not all runs"):
        resume(copied_ensemble)


def test_an_ensemble_with_a_file_for_each_run_resumes(whole_ensemble, tmp_path):
    stopped(whole_ensemble[0], tmp_path / "runs", 17)
    runs = with_own_files(tmp_path / "runs", {name: [10] for name in ensemble_configs()})
    assert [(run.steps(), run.state_steps()) for run in runs] == [([10], [10])] * len(runs)
    assert evaluate_checkpoint(runs[0]) == evaluate_checkpoint(whole_ensemble[0], 10)
    for one, other in zip(whole_ensemble, resume(tmp_path / "runs"), strict=True):
        assert not list((other.path / "state").iterdir())
        assert other.state_path(40).read_bytes() == one.state_path(40).read_bytes()


def test_a_checkpoint_of_another_run_or_other_data_is_refused(whole, tiny):
    with pytest.raises(UserError, match=whole.config.run_id()):
        in_memory(replace(tiny, data_seed=77), machine=HERE).restore(0, whole.state(40))
    with pytest.raises(UserError, match="exemplars"):
        in_memory(tiny, machine=HERE).restore(0, replace(whole.state(40), exemplars="0" * 16))


# divergence


def test_a_diverging_run_stops_and_keeps_its_checkpoints(tiny, tmp_path):
    config = replace(tiny, optim=OptimConfig(learning_rate=1e30), checkpoint_every=1)
    with pytest.raises(UserError, match=r"not finite.*learning_rate"):
        train(config, tmp_path / "run", HERE)
    run = load_run(tmp_path / "run")
    assert run.current_status()["status"] == "diverged"
    for step in run.steps():
        assert all(each.isfinite().all() for each in run.checkpoint(step).tensors.values())
    with pytest.raises(UserError, match=r"not finite.*learning_rate"):
        resume(run.path)


def test_a_run_that_fails_before_its_first_update_blames_the_data(tiny, tmp_path):
    config = replace(tiny, data=replace(tiny.data, noise=1e30))
    with pytest.raises(Diverged, match=r"step 1 .*data\.noise=1e\+30") as caught:
        train(config, tmp_path / "run", HERE)
    assert "learning_rate" not in str(caught.value)


def test_in_an_ensemble_only_the_diverging_run_stops(whole_ensemble, tiny, tmp_path):
    """It diverges in its second or third step, and the others can be trained further."""
    wild = replace(tiny, optim=OptimConfig(learning_rate=1e30))
    with pytest.raises(UserError, match=r"wild: the loss of step [23] is not finite"):
        train_together({**ensemble_configs(), "wild": wild}, tmp_path / "runs", HERE)
    *sound, last = load_runs(tmp_path / "runs")
    assert last.current_status()["status"] == "diverged" and last.steps() == []
    for one, other in zip(whole_ensemble, sound, strict=True):
        assert other.current_status()["status"] == "finished"
        assert_same_run(one, other)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="wild: the loss of step"):
        resume(tmp_path / "runs")
    assert contents(tmp_path) == before
    with pytest.raises(UserError, match="wild"):
        resume(tmp_path / "runs", n_steps=50)
    assert [run.steps()[-1:] for run in load_runs(tmp_path / "runs")] == [[50]] * 4 + [[]]


def test_a_resume_keeps_the_checkpoints_of_a_run_that_diverged_later(copied_ensemble):
    """The sound file of the step that the others continue from holds them."""
    *_, diverged = load_runs(copied_ensemble)
    for run in load_runs(copied_ensemble):
        set_status([run], "running", "")
    set_status([diverged], "diverged", "", 39)
    weights = diverged.checkpoint_path(30).read_bytes()
    diverged.state_path(40).write_bytes(b"spoilt")
    with pytest.raises(UserError, match=diverged.path.name):
        resume(copied_ensemble)
    assert diverged.checkpoint_path(30).read_bytes() == weights
    assert diverged.steps() == [10, 20, 30] and diverged.is_sound(30)


# signals, locks and folders


@pytest.fixture
def handle():
    """Have this process handle a signal in a certain way; undone at the end."""
    before = {}

    def handle(kind, handler):
        before[kind] = signal.signal(kind, handler)

    yield handle
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.mark.parametrize(
    ("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_run_after_a_checkpoint(whole, tmp_path, monkeypatch, kind, code, handle):
    handle(kind, signal.default_int_handler)
    at_step(12, monkeypatch, lambda: signal.raise_signal(kind))
    with pytest.raises(Interrupted, match=f"{kind.name} at step 12") as caught:
        train(whole.config, tmp_path / "run", HERE)
    assert caught.value.exit_code == code
    run = load_run(tmp_path / "run")
    assert run.current_status()["status"] == "interrupted" and run.steps() == [10, 12]
    resume(run.path)
    for path in (run.state_path(12), run.checkpoint_path(12)):
        path.unlink()
    assert_same_run(whole, run)


def test_the_end_can_be_moved_to_where_a_run_was_stopped(whole, tmp_path, monkeypatch):
    """It is then the run of that length, but the last gradient is not known any more."""
    short = train(replace(whole.config, n_steps=12), tmp_path / "short", HERE)
    at_step(12, monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted):
        train(whole.config, tmp_path / "run", HERE)
    (run,) = resume(tmp_path / "run", n_steps=12)
    assert run.is_finished() and run.metrics()[-1]["batch_loss"] is not None
    one, other = (without_time(each.metrics()) for each in (short, run))
    assert other == [*one[:-1], one[-1] | {"gradient_norm": None}]
    for kind in ("checkpoint_path", "state_path"):
        assert getattr(run, kind)(12).read_bytes() == getattr(short, kind)(12).read_bytes()


def test_an_ignored_hangup_ends_nothing(whole, tmp_path, monkeypatch, handle):
    """As under `nohup`."""
    handle(signal.SIGHUP, signal.SIG_IGN)
    at_step(12, monkeypatch, lambda: signal.raise_signal(signal.SIGHUP))
    assert_same_run(whole, train(whole.config, tmp_path / "run", HERE))


def test_a_signal_before_the_first_step_ends_training_at_once(tiny, tmp_path, monkeypatch, handle):
    """While steps are compiled, say."""
    handle(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    def interrupted(ensemble):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("compiled to the end")

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Ensemble, "choose_execution", interrupted)
        train(tiny, tmp_path / "run", HERE)
    run = load_run(tmp_path / "run")
    assert run.current_status()["status"] == "interrupted"
    resume(run.path)
    assert run.is_finished()


def test_a_run_is_trained_outside_the_main_thread(whole, tmp_path):
    with ThreadPoolExecutor() as threads:
        run = threads.submit(train, whole.config, tmp_path / "run", HERE).result()
    assert_same_run(whole, run)


def test_a_folder_is_trained_by_one_process_at_a_time(whole):
    with lock([whole]):
        assert whole.current_status()["status"] == "finished"
        with pytest.raises(UserError, match="another process"):
            resume(whole.path)


def test_a_folder_that_is_moved_ends_its_training(tiny, tmp_path, monkeypatch):
    old, new = tmp_path / "old", tmp_path / "new"
    at_step(12, monkeypatch, lambda: old.rename(new))
    with pytest.raises(UserError, match="moved or removed"):
        train(tiny, old, HERE)
    assert not old.exists()
    monkeypatch.undo()
    assert resume(new)[0].steps() == [10, 20, 30, 40]


def test_finished_runs_are_left_as_they_are(whole, tiny, capsys):
    before = contents(whole.path)
    assert train_or_resume(whole.config, whole.path).path == whole.path
    resume(whole.path)
    assert "step" not in capsys.readouterr().err
    for other in (replace(tiny, init_seed=99), replace(tiny, n_steps=20)):
        with pytest.raises(UsageError, match="another run"):
            train_or_resume(other, whole.path)
    with pytest.raises(UsageError, match="exists already"):
        train(tiny, whole.path)
    assert contents(whole.path) == before


# machines and records


def test_a_run_resumes_on_another_machine(whole, tmp_path):
    run = create_run(tmp_path / "run", whole.config, Machine("cpu", 4000, "graph"))
    with pytest.raises(UsageError, match="threads=4000"):
        resume(run.path)
    with pytest.raises(UsageError, match="'graph' needs a CUDA device"):
        resume(run.path, threads=1)
    assert_same_run(whole, train_or_resume(whole.config, run.path, HERE))


def test_a_run_of_a_gpu_continues_and_is_evaluated_on_a_cpu(whole, tmp_path, call):
    path = create_run(tmp_path / "run", whole.config, Machine("cuda:1", 1, "compiled-graph")).path
    with pytest.raises(UsageError, match="'cuda:1' is not available"):
        resume(path)
    (run,) = resume(path, device="cpu")
    assert_same_run(whole, run)
    manifest = path / "manifest.json"
    record = json.loads(manifest.read_text()) | {"device": "cuda", "execution": "graph"}
    manifest.write_text(json.dumps(record))
    report = json.loads(call("transformer", "evaluate", path, "--device", "cpu", "--json"))
    assert report["evaluators"] == evaluate_checkpoint(whole).metrics


def test_a_run_is_continued_and_evaluated_on_its_own_exemplars_alone(copied, monkeypatch):
    other = load_exemplars(replace(copied.config.data.exemplars, seed=9))
    monkeypatch.setattr("transformer.runs.prepare.load_exemplars", lambda config: other)
    for use in (evaluate_checkpoint, lambda run: resume(run.path, n_steps=50)):
        with pytest.raises(UserError, match="exemplars"):
            use(copied)


def test_a_run_that_cannot_be_compiled_is_trained_eagerly(whole, tmp_path, monkeypatch, capsys):
    """Unless compiled steps were asked for."""

    def failing(function, **options):
        def run(*inputs):
            raise RuntimeError("InductorError: none")

        return run

    monkeypatch.setattr(torch, "compile", failing)
    monkeypatch.setattr(machine, "WORTH_COMPILING", 0)
    monkeypatch.setattr(machine, "can_compile", lambda device: True)
    run = train(whole.config, tmp_path / "auto", Machine("cpu", 1, "auto"))
    assert run.machine.execution == "eager" == load_run(run.path).machine.execution
    assert "could not be compiled" in capsys.readouterr().err
    assert_same_run(whole, run)
    with pytest.raises(UserError, match="could not be compiled"):
        train(whole.config, tmp_path / "compiled", Machine("cpu", 1, "compiled"))


def test_every_session_is_on_record(tiny, tmp_path):
    run = train(replace(tiny, n_steps=20), tmp_path / "run", HERE)
    path = run.path / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sessions"]  # as one that was made before there were any
    path.write_text(json.dumps(manifest))
    resume(run.path, n_steps=30)
    resume(run.path, n_steps=40, threads=2)
    sessions = json.loads(path.read_text())["sessions"]
    assert [(each["first_step"], each["last_step"]) for each in sessions] == [(20, 30), (30, 40)]
    assert [each["threads"] for each in sessions] == [1, 2]
    last = sessions[-1]
    assert last["versions"]["torch"] == version("torch") and last["began"] <= last["ended"]
    assert load_run(run.path).machine.threads == 2


def test_what_older_runs_did_not_record_is_none(copied):
    added = ("seconds", "learning_rate", "gradient_norm")
    rows = [{k: v for k, v in row.items() if k not in added} for row in copied.metrics()]
    copied.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert all(row[name] is None for row in copied.metrics() for name in added)
    last = resume(copied.path, n_steps=42)[0].metrics()[-1]
    assert last["step"] == 42 and all(last[name] > 0 for name in added)


def test_metrics_have_the_rate_and_gradient_of_the_last_step(tiny, tmp_path):
    optim = OptimConfig(algorithm="sgd", learning_rate=0.1, schedule="inverse_sqrt", warmup_steps=9)
    config = replace(tiny, optim=optim, frozen=("labels",), checkpoint_every=1, n_steps=14)
    run = train(config, tmp_path / "run", HERE)
    first, *rows = run.metrics()
    assert first["learning_rate"] is None and first["gradient_norm"] is None
    for row in rows:
        step = row["step"]
        assert row["learning_rate"] == optim.rate(step)
        before, after = (run.checkpoint(at).tensors for at in (step - 1, step))
        moved = torch.cat([(after[name] - before[name]).flatten() for name in before])
        norm = moved.norm() / optim.rate(step)
        assert row["gradient_norm"] == pytest.approx(norm.item(), rel=1e-3)
    assert sorted(row["seconds"] for row in rows) == [row["seconds"] for row in rows]


def test_a_resume_of_a_run_killed_before_its_first_checkpoint_says_so(whole, tmp_path, capsys):
    run = create_run(tmp_path / "run", whole.config, HERE)
    run.metrics_path.write_bytes(b"".join(metric_lines(whole)[:2]))
    set_status([run], "running", "")
    assert (read_statuses([run])[0]["step"], read_statuses([run])[0]["checkpoint"]) == (7, None)
    resume(run.path)
    note = capsys.readouterr().err
    assert "first checkpoint" in note and "step 7" in note and "step 0" in note
    assert_same_run(whole, run)


def test_a_checkpoint_beyond_the_end_is_reported(tiny, tmp_path, capsys):
    config = replace(tiny, n_steps=2, checkpoint_at=(1, 3))
    run = train(config, tmp_path / "run", HERE)
    assert "checkpoint_at names step 3" in capsys.readouterr().err
    resume(run.path, n_steps=4)
    assert "checkpoint_at" not in capsys.readouterr().err
    assert run.steps() == [1, 2, 3, 4]
