"""What `--dry-run` says of a run, against the run itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coopetition.tools.errors import UsageError, UserError
from transformer.config import DataConfig, ModelConfig, OptimConfig, StartConfig
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.runs.folder import vary
from transformer.runs.loop import train
from transformer.training.cost import forecast
from transformer.training.machine import Machine

HERE = Machine("cpu", 1, "eager")


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr("transformer.training.cost.TIMED_S", 0.02)


def test_steps_and_parameters_are_those_of_the_run(tiny, tmp_path):
    report = forecast({"": tiny}, HERE)
    run = train(tiny, tmp_path / "run", HERE)
    means = [
        tensor
        for name, tensor in run.state(40).tensors.items()
        if name.startswith("optimiser.mean.")
    ]
    assert report["parameters"] == sum(tensor.numel() for tensor in means)
    assert (report["steps"], report["sequences"]) == (40, run.metrics()[-1]["sequences"])
    assert report["run_id"] == tiny.run_id()


@pytest.fixture
def untimed(monkeypatch):
    """As if steps took no time: none is made."""
    monkeypatch.setattr("transformer.training.cost.median_seconds", lambda *_: 0.0)


@pytest.mark.usefixtures("untimed")
def test_a_path_is_asked_for_only_where_nothing_can_be_read_without(tiny):
    for exemplars, needed in (
        (OmniglotConfig(n_classes=20), None),
        (FeatureConfig(n_classes=20, n_exemplars=4), "--data.exemplars.path"),
    ):
        config = replace(tiny, data=replace(tiny.data, exemplars=exemplars))
        assert forecast({"": config}, HERE)["still_needed"] == needed


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize("model", [ModelConfig(), ModelConfig(encoder="resnet")])
@pytest.mark.parametrize(
    ("algorithm", "precision", "copies", "width"),
    [
        ("adam", "float32", 4, 4),  # parameters, gradients and two moments
        ("adam", "float64", 4, 8),
        ("sgd", "float32", 2, 4),
    ],
)
def test_memory_is_that_of_parameters_optimiser_and_exemplars(
    tiny, model, algorithm, precision, copies, width
):
    config = replace(
        tiny,
        data=DataConfig(exemplars=GlyphConfig(n_classes=1600)),
        model=model,
        optim=OptimConfig(algorithm=algorithm, l2=(("all", 1e-4),)),
        precision=precision,
    )
    report = forecast({"": config}, HERE)
    expected = copies * width * report["parameters"] + 1600 * 20 * 28 * 28
    assert report["memory_mib"] == pytest.approx(expected / 2**20, abs=0.6)


@pytest.mark.parametrize("n_sequences", [(50,), (50, 200, 1000), (1000, 200, 50)])
def test_time_is_that_of_all_steps_and_evaluations(tiny, tmp_path, monkeypatch, n_sequences):
    """With steps of half a second and 1,000 sequences measured in two."""
    seconds = iter([0.5, 2.0])
    monkeypatch.setattr("transformer.training.cost.median_seconds", lambda *_: next(seconds))
    axes = {"evaluation.n_sequences": [str(n) for n in n_sequences]}
    report = forecast(vary(tiny, axes), HERE)
    n_evaluations = len(train(tiny, tmp_path / "run", HERE).metrics())
    evaluated = n_evaluations * 5 * sum(n_sequences)
    assert report["predicted_s"] == pytest.approx(40 * 0.5 + evaluated * 0.002, abs=0.1)
    assert report["runs"] == len(n_sequences)


@pytest.mark.usefixtures("untimed")
def test_every_set_of_exemplars_counts_once(tiny):
    exemplars = {"n_classes": 1600, "n_exemplars": 20}
    config = replace(tiny, data=DataConfig(exemplars=GlyphConfig(**exemplars)))
    seeds = vary(config, {"init_seed": ["11", "12"], "data.exemplars.seed": ["1", "2", "3"]})
    drawn = 3 * 1600 * 20 * 28 * 28
    learnt = 6 * 4 * 4 * forecast({"": config}, HERE)["parameters"]
    assert forecast(seeds, HERE)["memory_mib"] == pytest.approx((drawn + learnt) / 2**20, abs=0.6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ModelConfig(encoder="resnet")}, "reads images, but exemplars of GaussianConfig"),
        ({"start": StartConfig(path="/nowhere")}, "/nowhere"),
    ],
)
def test_what_cannot_run_is_refused(tiny, changes, message):
    data = DataConfig(exemplars=GaussianConfig(n_classes=20, d_features=50))
    with pytest.raises(UserError, match=message):
        forecast({"": replace(tiny, data=data, **changes)}, HERE)


def test_parameters_that_do_not_fit_are_refused_as_they_are_by_train(tiny, tmp_path):
    path = tmp_path / "start.safetensors"
    save_file({"W_U": torch.zeros(3, 4)}, path)
    config = replace(tiny, start=StartConfig(path=str(path), parts=("unembedding",)))
    for start in (
        lambda: forecast({"": config}, HERE),
        lambda: train(config, tmp_path / "run", HERE),
    ):
        with pytest.raises(UsageError, match=r"does not fit the model: W_U is \(3, 4\), expected"):
            start()


def test_the_resnet_takes_images_alone(tiny, tmp_path):
    """Not 64 numbers that happen to be a square number."""
    data = DataConfig(exemplars=GaussianConfig(n_classes=20, d_features=64))
    config = replace(tiny, data=data, model=ModelConfig(encoder="resnet"))
    with pytest.raises(UserError, match="reads images"):
        train(config, tmp_path / "run", HERE)
    assert not (tmp_path / "run").exists()
    path = tmp_path / "features.npy"
    np.save(path, np.random.default_rng(0).random((20, 4, 50), np.float32))
    features = DataConfig(exemplars=FeatureConfig(path=str(path)))
    with pytest.raises(UserError, match="square images, but the exemplars have 50"):
        train(replace(config, data=features), tmp_path / "run", HERE)
