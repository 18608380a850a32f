"""Forecasts of `--dry-run` against the run itself, and runs that are refused before they start."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coopetition.tools.errors import UsageError
from tests.transformer.conftest import HERE
from transformer import in_memory
from transformer.config import DataConfig, ModelConfig, OptimConfig, StartConfig
from transformer.config.variants import vary
from transformer.data.exemplars.features import FeatureConfig
from transformer.data.exemplars.glyphs import GlyphConfig
from transformer.data.exemplars.omniglot import OmniglotConfig
from transformer.data.exemplars.synthetic import GaussianConfig
from transformer.experiments.presets import PRESETS
from transformer.measures import metrics
from transformer.model.parameters import parameter_shapes
from transformer.runs.prepare import prepare_forecast
from transformer.runs.train import train
from transformer.training import cost
from transformer.training.cost import forecast_cost


@pytest.fixture
def untimed(monkeypatch):
    """Steps take no time: none is made."""
    monkeypatch.setattr(cost, "median_seconds", lambda *_: 0.0)


def test_steps_and_parameters_are_those_of_the_run(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "TIMED_S", 0.02)
    report = forecast_cost([tiny], HERE)
    run = train(tiny, tmp_path / "run", HERE)
    moments = run.state(40).tensors.items()
    means = [tensor for name, tensor in moments if name.startswith("optimiser.mean.")]
    assert report["parameters"] == sum(tensor.numel() for tensor in means)
    assert (report["steps"], report["sequences"]) == (40, run.metrics()[-1]["sequences"])
    assert report["run_id"] == tiny.run_id()


@pytest.mark.usefixtures("untimed")
def test_a_path_is_asked_for_only_where_it_is_needed(tiny):
    for exemplars, needed in (
        (OmniglotConfig(n_classes=20), None),
        (FeatureConfig(n_classes=20, n_exemplars=4), "--data.exemplars.path"),
    ):
        config = replace(tiny, data=replace(tiny.data, exemplars=exemplars))
        assert forecast_cost([config], HERE)["still_needed"] == needed


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
def test_memory_is_that_of_a_step_and_exemplars(tiny, model, algorithm, precision, copies, width):
    config = replace(
        tiny,
        data=DataConfig(exemplars=GlyphConfig(n_classes=1600)),
        model=model,
        optim=OptimConfig(algorithm=algorithm, l2=(("all", 1e-4),)),
        precision=precision,
    )
    report = forecast_cost([config], HERE)
    expected = copies * width * report["parameters"] + 1600 * 20 * 28 * 28
    expected += width * config.data.batch_size * (config.data.context + 1) * 28 * 28
    expected += cost.activation_bytes([config], 28 * 28)
    # and the joined gradients of small parameters, less than one MiB here
    assert 0 <= report["memory_mib"] - expected / 2**20 + 0.5 < 2


@pytest.mark.usefixtures("untimed")
def test_every_set_of_exemplars_counts_once(tiny):
    config = replace(tiny, data=DataConfig(exemplars=GlyphConfig(n_classes=1600)))
    runs = vary(config, {"init_seed": ["11", "12"], "data.exemplars.seed": ["1", "2", "3"]})
    drawn = 1600 * 20 * 28 * 28 / 2**20
    one, all_six = (
        forecast_cost([*each], HERE)["memory_mib"] for each in ([config], runs.values())
    )
    assert all_six - 3 * drawn == pytest.approx(6 * (one - drawn), abs=4)


@pytest.mark.parametrize("n_sequences", [(50,), (50, 200, 1000), (1000, 200, 50)])
def test_time_is_that_of_all_steps_and_evaluations(tiny, tmp_path, monkeypatch, n_sequences):
    """Here a step takes half a second, and a sequence two milliseconds."""
    seconds = iter([0.5, 0.002 * max(n_sequences)])  # of a piece: the sequences of the largest run
    monkeypatch.setattr(cost, "median_seconds", lambda *_: next(seconds))
    runs = vary(tiny, {"evaluation.n_sequences": [str(n) for n in n_sequences]})
    report = forecast_cost([*runs.values()], HERE)
    n_evaluations = len(train(tiny, tmp_path / "run", HERE).metrics())
    evaluated = n_evaluations * 5 * sum(n_sequences)
    assert report["predicted_s"] == pytest.approx(40 * 0.5 + evaluated * 0.002, abs=0.1)
    assert report["runs"] == len(n_sequences)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_pieces_are_those_in_which_runs_are_evaluated(tiny, device, monkeypatch):
    """Two runs have the same sets, a third has larger ones, a fourth has another evaluator."""
    own, data = replace(tiny.evaluation, n_sequences=50), replace(tiny.data, context=4)
    configs = [
        replace(tiny, init_seed=seed, data=data, evaluation=replace(own, **changes))
        for seed, changes in enumerate([{}, {}, {"n_sequences": 120}, {"also": ("train_burst_2",)}])
    ]
    if device == "cuda":  # each of two runs sends some 40 sequences at once through the model
        monkeypatch.setattr(metrics, "DEVICE_BYTES", 2**20)
    else:
        monkeypatch.setattr(metrics, "CHUNK", 40)
        monkeypatch.setattr(metrics, "CACHED", 300)
    sizes, make_batch, measure = metrics.piece_sizes, metrics.make_batch, metrics.sequence_metrics
    made, logits = [], []

    def noted_batch(*about):
        made.append(about[-1].shape)
        logits.append(0)
        return make_batch(*about)

    def noted_logits(z, *about):
        logits[-1] = max(logits[-1], len(z) // made[-1][0])
        return measure(z, *about)

    ensemble = in_memory(*configs, machine=HERE)
    ensemble.device = torch.device(device)
    on_device = lambda *about, **flags: sizes(*about, **flags | {"is_cpu": device == "cpu"})  # noqa: E731
    monkeypatch.setattr(metrics, "piece_sizes", on_device)
    monkeypatch.setattr(metrics, "make_batch", noted_batch)
    monkeypatch.setattr(metrics, "sequence_metrics", noted_logits)
    ensemble.evaluate()
    found = Counter((*shape, n) for shape, n in zip(made, logits, strict=True))
    assert len(found) >= 2
    assert found == cost.evaluation_pieces(configs, replace(HERE, device=device))


def check_refused(config, tmp_path, named: str) -> None:
    """A dry run and training refuse a config, and no folder is made."""
    for start in (
        lambda: prepare_forecast([config], HERE),
        lambda: train(config, tmp_path / "run", HERE),
    ):
        with pytest.raises(UsageError, match=named):
            start()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "memory", "named"),
    [
        ({"d_model": 2**14}, 2**30, r"\d+\.\d GiB .*cpu has 1\.0"),
        ({"n_layers": 100_000}, math.inf, "tensors"),
        ({"n_layers": 10**12}, math.inf, "tensors"),
        ({}, 2**10, "model.d_model"),
    ],
)
def test_what_is_too_large_is_refused(tiny, tmp_path, monkeypatch, changes, memory, named):
    monkeypatch.setattr(cost, "_memory", lambda device: memory)
    check_refused(replace(tiny, model=replace(tiny.model, **changes)), tmp_path, named)


@pytest.mark.parametrize("named", ["evaluation.n_sequences", "exemplars.n_exemplars"])
def test_sets_that_are_too_large_are_refused_before_they_are_drawn(
    tiny, tmp_path, monkeypatch, named
):
    if named == "evaluation.n_sequences":
        config = replace(tiny, evaluation=replace(tiny.evaluation, n_sequences=10**11))
    else:
        config = tiny.with_exemplars(n_exemplars=10**12)
    monkeypatch.setattr(GlyphConfig, "load", lambda config: pytest.fail("drawn"))
    check_refused(config, tmp_path, named)


def test_tensors_are_counted():
    for preset in PRESETS.values():
        config = preset.config("paper" if "paper" in preset.scales else "cpu")
        shapes = parameter_shapes(config.model, context=8, d_features=9, n_labels=2)
        assert cost.count_tensors(config) == len(shapes) < cost.MAX_TENSORS / 10


def test_starts_that_do_not_fit_are_refused(tiny, tmp_path):
    path = tmp_path / "start.safetensors"
    save_file({"W_U": torch.zeros(3, 4)}, path)
    for start, named in (
        (StartConfig(path=str(path), parts=("unembedding",)), r"W_U is \(3, 4\)"),
        (StartConfig(path="/nowhere"), "/nowhere"),
    ):
        check_refused(replace(tiny, start=start), tmp_path, named)


def test_the_resnet_takes_images_alone(tiny, tmp_path):
    """It refuses 64 numbers that happen to be a square number, and images that are not square."""
    data = DataConfig(exemplars=GaussianConfig(n_classes=20, d_features=64))
    config = replace(tiny, data=data, model=ModelConfig(encoder="resnet"))
    check_refused(config, tmp_path, "GaussianConfig")
    path = tmp_path / "features.npy"
    np.save(path, np.random.default_rng(0).random((20, 4, 50), np.float32))
    features = DataConfig(exemplars=FeatureConfig(path=str(path)))
    with pytest.raises(UsageError, match="50 features"):
        train(replace(config, data=features), tmp_path / "run", HERE)
