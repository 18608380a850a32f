"""Weights and states: which are kept, in which precision, and what they are good for."""

import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coopetition.tools.errors import UsageError, UserError
from coopetition.tools.files import write_bytes
from tests.transformer.conftest import HERE, short_config, tiny_config
from transformer import load_model
from transformer.config import DataConfig, OptimConfig, RunConfig, StartConfig, to_dict
from transformer.data.exemplar_sets import Exemplars
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.runs.checkpoint import serialise
from transformer.runs.evaluation import evaluate_checkpoint
from transformer.runs.folder import RunFolder, create_run, load_run, load_runs
from transformer.runs.prepare import read_start
from transformer.runs.recovery import newest_weights, read_statuses
from transformer.runs.train import resume, train, train_together
from transformer.runs.writer import write_states
from transformer.training.cost import disk_bytes
from transformer.training.ensemble import Ensemble, ResolvedRun


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All is kept of it."""
    config = short_config(keep=("all", "all"))
    return train(config, tmp_path_factory.mktemp("kept") / "run", HERE)


@pytest.mark.parametrize(
    ("keep", "at", "weights", "states"),
    [
        (("all", "last"), (), [2, 4, 6, 8, 9], [9]),
        (("all", "all"), (), [2, 4, 6, 8, 9], [2, 4, 6, 8, 9]),
        (("1", "last"), (), [9], [9]),
        (("3", "all"), (), [6, 8, 9], [6, 8, 9]),
        (("2", "last"), (3, 4), [3, 4, 8, 9], [9]),
        (("70", "all"), (3,), [2, 3, 4, 6, 8, 9], [2, 3, 4, 6, 8, 9]),
    ],
)
def test_checkpoints_are_kept_as_asked_for(whole, tmp_path, keep, at, weights, states):
    run = train(short_config(keep=keep, checkpoint_at=at), tmp_path / "run", HERE)
    assert (run.steps(), run.state_steps()) == (weights, states)
    assert run.config.run_id() == whole.config.run_id(), "what is kept changes no number"
    for step in set(weights) & set(whole.steps()):
        assert run.checkpoint_path(step).read_bytes() == whole.checkpoint_path(step).read_bytes()


def test_a_checkpoint_may_be_superseded_while_it_is_looked_for(whole, tmp_path, monkeypatch):
    """Another process writes step 9 and removes step 8, after that was listed."""
    run = create_run(tmp_path / "run", whole.config, HERE)
    write_states(run.path, [run], [whole.state(8)])
    listed = RunFolder.steps

    def superseded(run):
        steps = listed(run)
        write_states(run.path, [run], [whole.state(9)])
        run.checkpoint_path(8).unlink(missing_ok=True)
        return steps

    monkeypatch.setattr(RunFolder, "steps", superseded)
    newest, damaged = newest_weights(run)
    assert (newest.step, damaged) == (9, [])


def test_dangling_links_and_foreign_names_are_no_checkpoints(tmp_path):
    run = create_run(tmp_path / "run", short_config(), HERE)
    run.checkpoint_path(4).parent.mkdir()
    run.checkpoint_path(4).symlink_to(tmp_path / "moved.safetensors")
    (run.path / "checkpoints" / "step_4.safetensors").touch()
    assert run.steps() == []


@pytest.mark.parametrize("keep", [("0", "last"), ("some", "last"), ("-1", "all"), ("all", "none")])
def test_invalid_values_of_keep_are_refused(keep):
    with pytest.raises(UsageError, match="keep"):
        RunConfig.from_dict({**to_dict(short_config()), "keep": list(keep)})


def test_a_member_that_goes_further_alone_keeps_where_all_can_continue(tmp_path, monkeypatch):
    """Also when it is named from its own folder."""
    config = short_config()
    train_together({"a": config, "b": replace(config, init_seed=9)}, tmp_path / "r", HERE)
    monkeypatch.chdir(tmp_path / "r" / "a")
    (alone,) = resume(".", n_steps=15)
    assert alone.path == tmp_path / "r" / "a" and alone.state_steps() == [9, 15]
    own = {path.name for path in alone.path.rglob("step_*")}
    assert own == {f"step_{step:09d}.safetensors" for step in (10, 12, 14, 15)}
    assert [run.config.n_steps for run in load_runs(tmp_path / "r")] == [15, 9]
    runs = resume(tmp_path / "r")
    assert [run.state_steps() for run in runs] == [[15], [15]]
    assert [run.path.name for run in runs] == ["a", "b"]
    assert [run.steps()[-1] for run in resume(tmp_path / "r", n_steps=20)] == [20, 20]


def test_weights_alone_are_evaluated_loaded_and_started_from_but_not_resumed(whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    run = load_run(tmp_path / "run")
    shutil.rmtree(run.path / "state")
    assert evaluate_checkpoint(run, 4) == evaluate_checkpoint(whole, 4)
    assert load_model(run).step == 9
    start = StartConfig(path=str(run.path), step=4)
    started = train(replace(short_config(), start=start, n_steps=1), tmp_path / "started", HERE)
    assert started.config.start.run_id == whole.config.run_id()
    assert resume(run.path)[0].is_finished(), "there is nothing to do"
    (status,) = read_statuses([run])
    assert status["resumes_from"] is None and not status["damaged"], "nothing is lost"
    before = {path: path.read_bytes() for path in run.path.rglob("step_*")}
    with pytest.raises(
        UserError, match=r"weights of step 9 but no state.*--start\.step 9"
    ) as error:
        resume(run.path, n_steps=12)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in run.path.rglob("step_*")} == before


def test_a_run_of_version_0_1_can_be_evaluated_and_resumed(whole, tmp_path):
    """It has one file a step, a state, in `checkpoints/`."""
    old = create_run(tmp_path / "run", replace(whole.config, keep=("all", "last")), HERE)
    for step in (2, 4):
        write_bytes(old.checkpoint_path(step), serialise(whole.state(step)))
    rows = whole.metrics_path.read_bytes().splitlines(keepends=True)
    old.metrics_path.write_bytes(b"".join(rows[:2]))
    assert evaluate_checkpoint(old) == evaluate_checkpoint(whole, 4)
    assert load_model(old, 2).step == 2
    assert read_statuses([old])[0]["resumes_from"] == 4
    resume(old.path)
    assert (old.steps(), old.state_steps()) == (whole.steps(), [9])
    assert old.state_path(9).read_bytes() == whole.state_path(9).read_bytes()


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    config = short_config(keep=("all", "all"), keep_half=True)
    return train(config, tmp_path_factory.mktemp("halved") / "run", HERE)


def test_weights_in_half_precision_are_the_weights_rounded(whole, halved):
    """To 11 bits: 2^-12 of a number at most, or half of 2^-24 near 0."""
    for step in whole.steps():
        exact, rounded = whole.checkpoint(step).tensors, halved.checkpoint(step).tensors
        assert set(exact) == set(rounded)
        for name, value in exact.items():
            assert rounded[name].dtype == torch.float16
            error = (rounded[name].float() - value).abs()
            assert (error <= value.abs() * 2**-11 + 2**-25).all()
        states = [run.state_path(step).read_bytes() for run in (whole, halved)]
        assert states[0] == states[1], "a resume is exact all the same"
    starts = (StartConfig(path=str(run.path), step=4) for run in (whole, halved))
    ids = {replace(short_config(), start=read_start(start)[0]).run_id() for start in starts}
    assert len(ids) == 2, "a run that starts from them is another one"


def test_weights_beyond_half_precision_stay_as_they_are(tmp_path):
    config = short_config(keep_half=True, optim=OptimConfig(algorithm="sgd", learning_rate=1e-4))
    run = train(config, tmp_path / "run", HERE)
    state = run.state(9)
    state.tensors["W_U"][0, 0] = 1e5
    write_states(run.path, [run], [state])
    assert run.checkpoint(9).tensors["W_U"][0, 0] == 1e5
    assert run.checkpoint(9).tensors["W_L"].dtype == torch.float16


@pytest.mark.parametrize(
    ("every", "at", "per_decade", "kept"),
    [
        (20, (), 0, {20, 40, 60, 80, 90}),
        (0, (), 0, {90}),
        (0, (5, 50, 500), 0, {5, 50, 90}),
        (0, (), 1, {1, 10, 90}),
        (0, (), 3, {1, 2, 5, 10, 22, 46, 90}),
    ],
)
def test_checkpoint_schedules(every, at, per_decade, kept):
    schedule = {"checkpoint_every": every, "checkpoint_at": at}
    config = replace(tiny_config(), n_steps=90, checkpoints_per_decade=per_decade, **schedule)
    assert {step for step in range(1, 91) if config.is_checkpoint(step)} == kept
    assert config.run_id() == tiny_config().run_id(), "what is kept changes no number"


@given(
    n_steps=st.integers(1, 3000),
    checkpoint_every=st.integers(0, 500),
    checkpoint_at=st.lists(st.integers(1, 4000), max_size=3).map(tuple),
    checkpoints_per_decade=st.integers(0, 40),
)
def test_checkpoints_are_counted(**schedule):
    config = replace(tiny_config(), **schedule)
    made = sum(map(config.is_checkpoint, range(1, config.n_steps + 1)))
    assert config.checkpoint_count() == made


@pytest.mark.parametrize("half", [False, True])
def test_400_checkpoints_of_12_800_classes_take_3_gb(tmp_path, half):
    """By the size of one, and as the forecast says."""
    data = DataConfig(exemplars=GaussianConfig(n_classes=12800, d_features=512))
    config = RunConfig(data=data, n_steps=400, checkpoint_every=1, keep_half=half)
    run = create_run(tmp_path / "run", config, HERE)
    resolved = ResolvedRun(config, Exemplars(torch.zeros(1, 1, 512), 1.0), "")
    state = Ensemble([resolved], HERE).states()[0]
    write_states(run.path, [run], [state])
    weights, kept = (path(0).stat().st_size for path in (run.checkpoint_path, run.state_path))
    total = 400 * weights + kept
    assert total <= 3e9 / (1 + half)
    assert disk_bytes(config, 512) == pytest.approx(total, rel=0.01)
