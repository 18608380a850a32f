"""`coopetition fit`."""

import json
import os
from functools import partial

import numpy as np

from tests.conftest import REFERENCE

PUBLISHED = REFERENCE / "figure_5b_loss.csv"


def test_the_contract(call, tmp_path, monkeypatch):
    from coopetition.compare import estimate

    monkeypatch.setattr(estimate, "fit", partial(estimate.fit, n_screened=32, max_iterations=3))
    head, *rows = PUBLISHED.read_text().splitlines()
    few = tmp_path / "few.csv"  # of some forty rows
    few.write_text("\n".join([head, *rows[:: max(1, len(rows) // 40)]]) + "\n")
    flags = ["--from", "3.5e6", "--starts", 1, "--json", "--out", tmp_path / "fit.json"]
    result = json.loads(call("coopetition", "fit", few, *flags))
    assert set(result["curves"]) == {"train", "icl", "ciwl"}
    assert all({"r2", "rmse"} <= set(curve) for curve in result["curves"].values())
    assert "mu1" in result["parameters"]
    two = tmp_path / "two.csv"
    columns = [line.split(",") for line in few.read_text().splitlines()]
    without = columns[0].index("train")
    two.write_text("\n".join(",".join(np.delete(row, without)) for row in columns) + "\n")
    result = json.loads(call("coopetition", "fit", two, *flags[:-2]))
    assert set(result["curves"]) == {"icl", "ciwl"}


def test_curves_that_cannot_be_fitted_are_refused(call, tmp_path):
    short, other, pipe = (tmp_path / name for name in ("short.csv", "other.csv", "pipe"))
    other.write_text("sequences,accuracy\n1,2\n2,3\n")
    short.write_text("sequences,train,icl\n1,2,3\n2,3,4\n")
    os.mkfifo(pipe)
    for arguments, names in (
        ((PUBLISHED, "--from", "2e7"), "has 0 samples from 2e+07"),
        ((PUBLISHED, "--from", "nan"), "--from nan"),
        ((PUBLISHED, "--metric", "in_context_loss"), "holds no curves of in_context_loss"),
        ((tmp_path / "x.csv",), "x.csv does not exist"),
        ((pipe,), "pipe is no regular file but a pipe or a device"),
        ((short,), "curve train has 2 samples"),
        ((other,), "there are the curves accuracy; expected some of train, icl, ciwl"),
        ((PUBLISHED, "--out", tmp_path / "fit.npz"), "end it in .json"),
        ((), "no curves are given; name a run folder or a CSV file, before flags"),
    ):
        assert names in call("coopetition", "fit", *arguments, expect=2)


def test_one_run_of_an_ensemble_must_be_named(call, tmp_path):
    for name in ("init_seed=5", "init_seed=6"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text("")
    error = call("coopetition", "fit", tmp_path, expect=2)
    assert "holds runs; name one: init_seed=5, init_seed=6" in error
