"""What `--dry-run` says of a run, against the run itself."""

from dataclasses import replace
from datetime import timedelta

import pytest

from transformer.config import DataConfig, GlyphConfig, ModelConfig, OptimConfig
from transformer.devices import Machine
from transformer.ensemble import vary
from transformer.forecast import forecast
from transformer.train import train

HERE = Machine("cpu", 1, "eager")


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    monkeypatch.setattr("transformer.forecast.TIMED_S", 0.02)


def test_steps_and_parameters_are_those_of_the_run(tiny, tmp_path):
    report = forecast({"": tiny}, HERE)
    run = train(tiny, tmp_path / "run", HERE)
    means = [
        tensor
        for name, tensor in run.checkpoint(40).tensors.items()
        if name.startswith("optimiser.mean.")
    ]
    assert report["parameters"] == sum(tensor.numel() for tensor in means)
    assert (report["steps"], report["sequences"]) == (40, run.metrics()[-1]["sequences"])
    assert report["run_id"] == tiny.run_id()


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


def test_an_ensemble_takes_the_evaluations_of_all_its_runs(tiny):
    report = forecast(vary(tiny, {"init_seed": ["5", "6", "7"]}), HERE)
    assert report["runs"] == 3
    assert len(report["run_id"].split(", ")) == 3


def test_a_longer_run_takes_longer(tiny):
    """A thousand times the steps and evaluations, so at least ten times as long on any machine."""

    def seconds(n_steps):
        text = forecast({"": replace(tiny, n_steps=n_steps)}, HERE)["predicted_time"]
        hours, minutes, seconds = map(int, text.split(":"))
        return timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()

    assert seconds(200_000) > 10 * seconds(200)
