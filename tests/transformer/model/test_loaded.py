"""A trained model by itself: its logits are those that training measured."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from coopetition.tools.errors import UsageError, UserError
from tests.transformer.conftest import tiny_config
from transformer import load_model, load_run, train
from transformer.data.exemplar_sets import load_exemplars
from transformer.measures.metrics import means, sequence_metrics
from transformer.training.machine import Machine


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    tiny = tiny_config()
    evaluation = replace(tiny.evaluation, every=4)
    config = replace(tiny, n_steps=8, checkpoint_every=4, evaluation=evaluation)
    return train(config, tmp_path_factory.mktemp("loaded") / "run", Machine("cpu", 1, "eager"))


def test_logits_give_the_metrics_that_training_recorded(run):
    """To the rounding of float32: the batches differ in size."""
    exemplars = load_exemplars(run.config.data.exemplars)
    rows = {row["step"]: row for row in run.metrics()}
    model = load_model(run)
    assert (model.step, model.config) == (8, run.config.model)
    for name, sequences in run.evaluation_sets().items():
        z = model.logits(exemplars.features(sequences.exemplars.T), sequences.labels.T)
        assert z.shape == (50, 20)
        for metric, value in means(sequence_metrics(z, sequences.labels, sequences.target)).items():
            recorded = rows[8][f"{name}/{metric}"]
            assert (value is None) == (recorded is None)
            if value is not None:
                assert value == pytest.approx(recorded, rel=1e-5), (name, metric)


def test_arrays_lists_and_tensors_give_the_same_logits(run):
    rng = np.random.default_rng(0)
    exemplars, labels = rng.random((5, 3, 784)), rng.integers(20, size=(5, 2))
    for array in (exemplars, labels):
        array.flags.writeable = False
    model = load_model(run.path, 4)
    z = model.logits(exemplars, labels)
    assert torch.equal(z, model.logits(torch.tensor(exemplars).float(), torch.tensor(labels).int()))
    assert torch.equal(z, model.logits(exemplars.tolist(), labels.astype(np.uint16).tolist()))
    torch.testing.assert_close(model.logits(exemplars[2:], labels[2:]), z[2:])
    assert not torch.equal(z, load_model(run).logits(exemplars, labels))
    assert model.parameters["W_L"].shape == (20, 16) and z.dtype == torch.float32
    assert repr(model) == "<Model: 2 layers, 2 heads, d_model 16, 20 labels, step 4>"


FITS = np.zeros((2, 3, 784)), np.zeros((2, 2), int)


@pytest.mark.parametrize(
    ("exemplars", "labels", "named"),
    [
        (FITS[0][0], FITS[1][0], r"\(3, 784\) .*batch, context \+ 1"),
        (FITS[0], FITS[1][:, :1], r"labels \(2, 1\)"),
        (FITS[0][:0], FITS[1][:0], "at least one"),
        (FITS[0].astype(np.uint8), FITS[1], "uint8 .*floating-point"),
        (FITS[0], FITS[1] + 0.5, "labels .*float64"),
        (FITS[0], FITS[1] > 0, "labels .*bool"),
        (FITS[0], FITS[1] - 1, "labels .*-1"),
        (FITS[0], FITS[1] + 20, "labels .*20"),
        (FITS[0][:, :, :700], FITS[1], "784 features"),
        (np.zeros((2, 4, 784)), np.zeros((2, 3), int), "positions .*context of 2"),
        (FITS[0], np.array([["a", "b"]] * 2), "labels .*<U1"),
    ],
)
def test_what_the_model_cannot_read_is_refused_in_one_line(run, exemplars, labels, named):
    with pytest.raises(UsageError, match=named) as refused:
        load_model(run).logits(exemplars, labels)
    assert "\n" not in str(refused.value)


def test_missing_and_damaged_checkpoints_are_reported(run, tmp_path):
    with pytest.raises(UsageError, match="33"):
        load_model(run, 33)
    with pytest.raises(UsageError, match="'x'"):
        load_model(run, "x")  # pyright: ignore[reportArgumentType]
    shutil.copytree(run.path, tmp_path / "run")
    copy = load_run(tmp_path / "run")
    newest = copy.checkpoint_path(8)
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="step_000000008.* using step 4"):
        assert load_model(copy).step == 4
    shutil.rmtree(copy.path / "checkpoints")
    with pytest.raises(UserError, match="no sound checkpoint"):
        load_model(copy)
