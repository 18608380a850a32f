"""The example, in a small size: it trains, evaluates and plots, and writes nothing."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np

from transformer.data.exemplars.synthetic import GaussianConfig

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_in_memory.py"


def test_the_example_trains_evaluates_and_plots(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("train_in_memory", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    base = example.BURSTY
    small = replace(
        base,
        data=replace(base.data, exemplars=GaussianConfig(n_classes=20, d_features=8)),
        evaluation=replace(base.evaluation, every=2, n_sequences=20, n_classes=20),
        n_steps=4,
    )
    figure = example.main(small)
    bursty, icl_only, attention = figure.axes
    for axes in (bursty, icl_only):
        assert [line.get_label() for line in axes.lines] == ["icl", "flip", "ciwl"]
        assert list(axes.lines[0].get_xdata()) == [0, 64, 128]
    pattern = attention.images[0].get_array()
    assert pattern.shape == (8, 5)
    np.testing.assert_allclose(pattern.sum(1), 1, rtol=1e-5)
    assert not list(tmp_path.iterdir())
    assert len(EXAMPLE.read_text().splitlines()) <= 60
