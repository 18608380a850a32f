"""`coopetition fit`, `compare` and `predict`."""

import json
import math
import re
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from coopetition.cli import main
from coopetition.cli.fit import Flags
from coopetition.fitting import posterior
from coopetition.fitting.posterior import sample_posterior
from coopetition.fitting.selection import Comparison
from coopetition.fitting.simulation import simulate
from coopetition.tools.flags import parse_flags
from tests.coopetition.conftest import TRUTH
from tests.coopetition.fitting.logs.make_logs import EVERY as EVERY_STEPS
from tests.coopetition.fitting.logs.make_logs import N_STEPS
from tests.coopetition.fitting.test_reading import LOGS, MADE

RACE = ("--theory", "logistic_race", "--starts", 2)


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("curves") / "race.csv"
    simulate("logistic_race", TRUTH, noise=0.01).to_frame().to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def short_sampling(monkeypatch):
    """A posterior of few points that counts as not converged: these tests are of commands."""
    monkeypatch.setattr(posterior, "sample_posterior", partial(sample_posterior, max_calls=1))
    monkeypatch.setattr(posterior, "MIN_EFFECTIVE", math.inf)


@pytest.mark.parametrize("names", [["train", "icl", "ciwl"], ["icl", "ciwl"]])
def test_a_fit_has_curves_and_parameters(call, csv, tmp_path, names):
    rows = [line.split(",") for line in csv.read_text().splitlines()]
    columns = [rows[0].index(name) for name in ("sequences", *names)]
    own = tmp_path / "own.csv"
    own.write_text("".join(",".join(row[k] for k in columns) + "\n" for row in rows))
    flags = (*RACE, "--json", "--out", tmp_path / "fit.json")
    result = json.loads(call("coopetition", "fit", own, *flags))
    assert {*result["curves"]} == {*names} and {*result["parameters"]} == {*TRUTH}
    assert all({"r2", "rmse"} <= {*curve} for curve in result["curves"].values())


def test_a_forecast_has_events_and_a_horizon(call, csv, tmp_path):
    page = tmp_path / "page.html"
    flags = (*RACE, "--until", "6e5", "--json", "--report", page, "--out", tmp_path / "f.json")
    found = json.loads(call("coopetition", "predict", csv, *flags))
    assert {*found["events"]} == {"peak", "crossing", "fade"}
    assert all(
        {"value", "low", "high", "probability"} <= {*each} for each in found["events"].values()
    )
    assert found["horizon"] == 1e6, "the end of the curves"
    assert "<svg" not in page.read_text() and "data:image/svg+xml" in page.read_text()
    text = call("coopetition", "predict", csv, *RACE, "--until", "6e5", "--horizon", "2e6")
    assert "crossing:" in text and "fade:" in text, "defined where they are printed"
    assert "at 2e+06 sequences" in text
    assert text.startswith("CAUTION: the posterior has not converged")


def test_the_default_horizon_is_never_refused(call, tmp_path):
    """Three times the end of a short part late in a run is too far."""
    path = tmp_path / "late.csv"
    frame = simulate("logistic_race", TRUTH).to_frame()
    frame["sequences"] = 9.9e6 + np.linspace(0, 1e5, len(frame))
    frame.to_csv(path, index=False)
    found = json.loads(call("coopetition", "predict", path, *RACE, "--json"))
    assert (found["known_until"], found["horizon"]) == (1e7, 9.9e6 + 100 * 1e5)


def test_fits_of_two_runs_can_share_parameters(call, csv, tmp_path):
    other = tmp_path / "other.csv"
    simulate("logistic_race", TRUTH, seed=1).to_frame().to_csv(other, index=False)
    flags = (*RACE, "--shared", "loss,icl_at", "icl_width", "--json")
    found = json.loads(call("coopetition", "fit", csv, other, *flags))
    assert {"loss", "icl_at", "icl_width", "race.csv/ciwl_at"} <= {*found["parameters"]}
    assert "other.csv/icl" in found["curves"]


def test_profiles_are_intervals_and_pictures(call, csv, tmp_path):
    page = tmp_path / "page.html"
    flags = (*RACE, "--fixed", "icl_width=5e4", "loss=0.8", "--profile", "--report", page, "--json")
    found = json.loads(call("coopetition", "fit", csv, *flags))
    statuses = {name: each["status"] for name, each in found["parameters"].items()}
    free = dict.fromkeys(("icl_at", "ciwl_at", "ciwl_width"), "identifiable")
    assert statuses == free | dict.fromkeys(("icl_width", "loss"), "fixed")
    assert page.read_text().count("<img") == 4 + 3


def test_theories_are_ranked(call, csv, tmp_path):
    page = tmp_path / "page.html"
    flags = ("--theories", "logistic_race", "spline", "--starts", 2, "--report", page)
    rows = json.loads(call("coopetition", "compare", csv, *flags, "--json"))
    assert [row["name"] for row in rows] == ["logistic_race", "spline"]
    assert {"name", "n_parameters", "n_fitted", "bic", "aicc", "r2"} <= {*rows[0]}
    out, picture = tmp_path / "comparison.json", tmp_path / "comparison.png"
    flags = (*flags, "--out", out, "--plot", picture)
    assert "logistic_race" in call("coopetition", "compare", csv, *flags)
    assert [row["bic"] for row in Comparison.load(out).rows()] == [row["bic"] for row in rows]
    assert picture.stat().st_size > 0
    assert page.read_text().count("<img") == 1 + 2


@pytest.mark.parametrize("name", MADE)
def test_logs_of_other_tools_are_fitted_and_compared(call, name):
    """The truth: ICL is learnt at 50 steps, CIWL at 130."""
    log = (LOGS / name, "--batch-size", 32, "--from", 1)
    found = json.loads(call("coopetition", "fit", *log, *RACE, "--json"))
    assert found["curves"]["icl"]["n"] == N_STEPS // EVERY_STEPS
    for parameter, step in (("icl_at", 50), ("ciwl_at", 130)):
        assert found["parameters"][parameter]["value"] == pytest.approx(32 * step, rel=0.1)
    flags = ("--theories", "logistic_race", "spline", "--starts", 1, "--json")
    rows = json.loads(call("coopetition", "compare", *log, *flags))
    assert {row["name"] for row in rows} == {"logistic_race", "spline"}


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_logs_of_other_tools_are_forecast(call, name):
    flags = ("--batch-size", 32, "--from", 1, "--until", 32 * 150, "--json")
    found = json.loads(call("coopetition", "predict", LOGS / name, *RACE, *flags))
    assert 6300 <= found["horizon"] <= 6400


def test_what_a_log_means_is_said_by_flags(call, tmp_path):
    path = tmp_path / "log.csv"
    frame = simulate("logistic_race", TRUTH, noise=0.01).to_frame()
    frame["step"] = frame.pop("sequences") / 32
    frame = frame.rename(columns={"icl": "val a, b", "ciwl": "val c"})
    frame["val c"] = frame["val c"].astype(object)
    frame.loc[5, "val c"] = "diverged"
    frame.to_csv(path, index=False)
    flags = ("--columns", "icl=val a, b", "ciwl=val c", "--x", "step", "--batch-size", 32, "--json")
    assert "line 7" in call("coopetition", "fit", path, *RACE, *flags, expect=2)
    found = json.loads(call("coopetition", "fit", path, *RACE, *flags, "--from", "6e4"))
    assert {*found["curves"]} == {"icl", "ciwl"}
    for wrong in (("--columns", "icl"), ("--columns", "icl="), ("--columns", "icl=a", "icl=b")):
        assert "--columns" in call("coopetition", "fit", path, *wrong, expect=2)
    picture = tmp_path / "curves.png"
    call(
        "coopetition", "plot", path, "--columns", "a=val a, b", "--batch-size", 1, "--out", picture
    )
    assert picture.exists()


def test_the_commands_of_the_page_read_its_logs(tmp_path, monkeypatch):
    (tmp_path / "logs").symlink_to(LOGS)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[3] / "docs" / "fit_your_own_log.md").read_text()
    page = re.sub(r"\\\n *", "", page)  # join continued lines
    lines = [shlex.split(each) for each in re.findall(r"^    coopetition fit (.*)$", page, re.M)]
    assert len(lines) >= len(MADE)
    for words in lines:
        (curves,) = parse_flags(Flags, words, prog="coopetition fit").read(as_json=True)
        assert "icl" in curves.values and curves.sequences[-1] >= 6000


def test_a_fit_of_losses_says_where_it_starts(csv, capsys):
    main(["fit", str(csv), *map(str, RACE)])
    printed = capsys.readouterr()
    assert printed.out.startswith("CAUTION") and "--from" in printed.out
    assert "CAUTION" not in printed.err, "it is printed once"
    for command in ("fit", "compare"):
        flags = ("--theories", "logistic_race", "spline") if command == "compare" else RACE[:2]
        main([command, str(csv), *flags, "--starts", "1", "--json"])
        printed = capsys.readouterr()
        assert "CAUTION" in printed.err and not printed.out.startswith("CAUTION")
    main(["fit", str(csv), *map(str, RACE), "--from", "0"])
    printed = capsys.readouterr()
    assert "CAUTION" not in printed.err + printed.out


@pytest.mark.parametrize("command", ["fit", "predict"])
def test_help_shows_required_paths_and_the_ending_of_the_result(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert "[OPTIONS] PATH" in text
    assert ".json" in text and ".npz" not in text


EVERY = ("fit", "compare", "predict")
FLAGS = [
    (EVERY, ("--from", "5e5", "--until", "4e5"), "--until"),
    (EVERY, ("--from", "nan"), "--from nan"),
    (EVERY, ("--from", "2e6"), "0 samples"),
    (EVERY, ("--until", "3e4"), "samples here"),
    (EVERY, ("--metric", "accuracy"), "no curves of accuracy"),
    (EVERY, ("--starts", "100000000"), "choose at most 2048"),
    (EVERY, ("--seed", "0.5"), "INT"),
    (EVERY, ("--report", "page.txt"), ".html"),
    (EVERY, ("--report", "/proc/none/page.html"), "/proc"),
    (("fit", "predict"), ("--theory", "magic"), "'magic'"),
    (("fit", "predict"), ("--out", "fit.txt"), ".json"),
    (("fit", "predict"), ("--plot", "fit.txt"), ".png"),
    (("compare",), ("--theories", "magic"), "'magic'"),
    (("fit",), ("--shared", "mu1"), "mu1"),
    (("fit",), ("--fixed", "mu1=0.1,mu1=0.2"), "once"),
    (("fit",), ("--fixed", "=1"), "NAME=NUMBER"),
    (("fit",), ("--fixed", "mu1=nan"), "NAME=NUMBER"),
    (("predict",), ("--horizon", "0"), "horizon 0"),
    (("predict",), ("--until", "6e5", "--horizon", "3e5"), "horizon 300000"),
]


def test_a_damaged_file_is_named_in_one_line(call, tmp_path):
    path = tmp_path / "damaged.csv"
    path.write_text("sequences,icl\n1,x\n")
    for command in EVERY:
        error = call("coopetition", command, path, expect=2)
        assert error.startswith("coopetition: error: ") and path.name in error


def test_a_wrong_flag_is_named_in_one_line(call, csv):
    calls = [((command, csv, *flags), text) for names, flags, text in FLAGS for command in names]
    calls += [
        (("predict", csv, csv), "2 logs"),
        (("fit", csv, csv), "the same curves"),
        (("fit",), "no curves"),
        (("predict",), "0 logs"),
    ]
    for arguments, text in calls:
        error = call("coopetition", *arguments, expect=2)
        assert error.startswith("coopetition: error: ") and text in error, (arguments, error)


def test_one_run_of_an_ensemble_must_be_named(call, tmp_path):
    for name in ("init_seed=5", "init_seed=6"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text("")
    error = call("coopetition", "fit", tmp_path, expect=2)
    assert "init_seed=5, init_seed=6" in error
