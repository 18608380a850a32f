"""Runs that start from other parameters, and what a new run starts with."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coopetition.tools.commands import Terminated
from coopetition.tools.errors import Interrupted, UsageError, UserError
from tests.transformer.conftest import HERE, tiny_config
from transformer import in_memory
from transformer.config import DataConfig, RunConfig, StartConfig
from transformer.config.model import in_part
from transformer.data.exemplars.features import FeatureConfig
from transformer.experiments.presets import PRESETS
from transformer.measures.metrics import means
from transformer.runs.folder import load_runs
from transformer.runs.train import resume, train, train_or_resume, train_together
from transformer.training.ensemble import Ensemble


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return train(tiny_config(), tmp_path_factory.mktemp("source") / "run", HERE)


def test_a_run_can_start_from_another(source, tiny, tmp_path):
    """The parts taken over are the other run's and stay; the rest is drawn and learns."""
    start = StartConfig(path=str(source.path), step=20, parts=("output.0",))
    config = replace(tiny, init_seed=11, start=start, frozen=("output.0",))
    run = train(config, tmp_path / "run", HERE)
    assert run.config.start.run_id == source.config.run_id()
    theirs, ours = source.checkpoint(20).tensors, run.checkpoint(40).tensors
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]) == in_part(name, "output.0"), name
    other_run = replace(config, start=replace(start, run_id="0" * 12))
    with pytest.raises(UsageError, match="start.run_id=000000000000"):
        train(other_run, tmp_path / "other", HERE)
    narrow = replace(config, model=replace(tiny.model, d_model=8))
    with pytest.raises(UsageError, match="does not fit the model"):
        train(narrow, tmp_path / "narrow", HERE)


def test_weights_from_elsewhere_are_taken_over(source, tiny, tmp_path):
    path = tmp_path / "weights.safetensors"
    tensors = source.checkpoint(40).tensors
    save_file({"W_U": tensors["W_U"]}, path)
    start = StartConfig(path=str(path), parts=("unembedding",))
    with pytest.raises(UsageError, match="b_U"):
        train(replace(tiny, start=start), tmp_path / "lacking", HERE)
    save_file({name: tensors[name] for name in ("W_U", "b_U")}, path)
    run = train(replace(tiny, start=start, frozen=("unembedding",)), tmp_path / "run", HERE)
    assert torch.equal(run.checkpoint(40).tensors["W_U"], tensors["W_U"])
    assert not torch.equal(run.checkpoint(40).tensors["W_E"], tensors["W_E"])
    path.unlink()  # checkpoints hold all that was taken over
    assert resume(run.path, n_steps=42)[0].steps()[-1] == 42


@pytest.mark.parametrize("name", [n for n, each in PRESETS.items() if each.at("cpu").starts_from])
def test_presets_that_start_from_others_want_their_folder(name, tmp_path):
    with pytest.raises(UsageError, match="start.path is missing"):
        train(PRESETS[name].config("cpu"), tmp_path / "run", HERE)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_of_a_file_is_known_again(tiny, tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 4, 5)).astype(np.float32)
    np.save(tmp_path / "features.npy", values)
    exemplars = FeatureConfig(path=str(tmp_path / "features.npy"), n_classes=20, n_exemplars=4)
    config = replace(tiny, data=replace(tiny.data, exemplars=exemplars))
    run = train_or_resume(config, tmp_path / "run", HERE)
    assert run.config.run_id() != config.run_id(), "it knows the file's contents"
    assert train_or_resume(config, tmp_path / "run", HERE).steps() == run.steps()


def test_accuracies_are_at_chance_at_initialisation(tiny):
    evaluation = replace(tiny.evaluation, n_sequences=4000)
    each = in_memory(replace(tiny, evaluation=evaluation), machine=HERE).evaluate()[0]
    table = {name: means(metrics) for name, metrics in each.items()}
    for name in ("train", "icl", "flip", "ciwl"):
        # 4,000 sequences: s.d. 0.008; 20 classes leave a bias of a few per cent
        assert table[name]["in_context_accuracy"] == pytest.approx(0.5, abs=0.06)
    assert table["iwl"]["in_context_accuracy"] == 0
    assert table["iwl"]["in_context_loss"] is None
    assert table["iwl"]["accuracy"] == pytest.approx(1 / 20, abs=0.04)
    assert table["train"]["loss"] == pytest.approx(torch.tensor(20.0).log().item(), rel=0.25)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("failing", ["choose_execution", "evaluate"])
def test_runs_whose_set_up_fails_leave_no_folder(tiny, tmp_path, monkeypatch, together, failing):
    """But hidden files of others stay, and what was measured before a later failure."""

    def fail(*_):
        raise MemoryError

    def start(out):
        if together:
            return train_together({"a": tiny, "b": replace(tiny, init_seed=6)}, out, HERE)
        return [train(tiny, out, HERE)]

    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / ".notes").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Ensemble, failing, fail)
        for name in ("new", "kept"):
            with pytest.raises(MemoryError):
                start(tmp_path / name)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "kept",
        "kept/.notes",
    ]
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Ensemble, "advance", fail)
        start(tmp_path / "later")
    assert all(len(run.metrics()) == 1 for run in load_runs(tmp_path / "later"))


def test_evaluation_sets_without_memory_are_named(tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("transformer.data.evaluators.draw_sequences", fail)
    with pytest.raises(UserError, match=r"50 .*evaluation\.n_sequences"):
        train(tiny, tmp_path / "run", HERE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("n_exemplars", [0, 3])
def test_a_missing_feature_file_is_named_before_anything_is_computed(tmp_path, n_exemplars):
    exemplars = FeatureConfig(n_exemplars=n_exemplars)
    config = RunConfig(data=DataConfig(exemplars=exemplars), n_steps=5)
    with pytest.raises(UsageError, match=r"--data\.exemplars\.path"):
        train(config, tmp_path / "run", HERE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("stop", "code"), [(KeyboardInterrupt(), 130), (Terminated(signal.SIGTERM), 143)]
)
def test_a_run_that_is_interrupted_before_its_folder_exists_is_to_be_started_again(
    tiny, tmp_path, monkeypatch, stop, code
):
    def interrupt(config):
        raise stop

    monkeypatch.setattr("transformer.runs.prepare.load_exemplars", interrupt)
    with pytest.raises(Interrupted, match="nothing was written") as caught:
        train(tiny, tmp_path / "run", HERE)
    assert caught.value.exit_code == code and not (tmp_path / "run").exists()


def test_errors_of_functions_name_no_flag_of_the_command(source, tiny):
    for folder in (source.path, source.path / "status.json", source.path / "inner"):
        with pytest.raises(UsageError) as caught:
            train(tiny, folder, HERE)
        assert str(folder) in str(caught.value) and "--out" not in str(caught.value)
