"""Sweeps of all runs of the papers at scale smoke, made once."""

import numpy as np
import pytest

from paper_figures.core.collect import keep_finished
from transformer.experiments.plans import load_plan


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The folder of what is kept of the coopetition paper's runs."""
    return _made(tmp_path_factory.mktemp("smoke"), "coopetition")


@pytest.fixture(scope="session")
def smoke_transience(tmp_path_factory):
    """The folder of what is kept of the transience paper's runs, on tokens of no meaning too."""
    folder = tmp_path_factory.mktemp("smoke_transience")
    tokens = folder / "tokens.npy"
    np.save(tokens, np.random.default_rng(0).standard_normal((600, 8), np.float32))
    return _made(folder, "transience", "transience_tokens", files={"tokens": tokens})


@pytest.fixture(scope="session")
def smoke_clocks(tmp_path_factory):
    """The folder of what is kept of our runs at different rates and batch sizes."""
    return _made(tmp_path_factory.mktemp("smoke_clocks"), "clocks")


def _made(folder, *plans, files=None):
    data = folder / "kept"
    for name in plans:
        plan = load_plan(name, "smoke")
        plan = plan.with_files(files) if name.endswith("tokens") else plan
        for node in plan.nodes.values():
            node.execute(folder / name, "cpu", 1)
        keep_finished(plan, folder / name, name, "smoke", data)
    return data
