"""What is too large is refused before it is made."""

from dataclasses import replace

import pytest

from coopetition.tools.errors import UsageError
from transformer.runs.machine import Machine
from transformer.training import memory
from transformer.training.forecast import forecast
from transformer.training.loop import train


def test_runs_that_do_not_fit_are_refused_at_once(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_memory", lambda device: 2**30)
    config = replace(tiny, model=replace(tiny.model, n_layers=100_000))
    machine = Machine("cpu", 1, "eager")
    with pytest.raises(UsageError, match=r"take \d+\.\d GiB, and cpu has 1\.0; choose"):
        forecast({"": config}, machine)
    with pytest.raises(UsageError, match=r"take \d+\.\d GiB, and cpu has 1\.0; choose"):
        train(config, tmp_path / "run", machine)
    assert not (tmp_path / "run").exists()
