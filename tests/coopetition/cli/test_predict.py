"""`coopetition predict`, `coopetition recover`, and what `fit` and `compare` say beside the fit."""

import json

import numpy as np
import pytest

from coopetition.compare.recovery import simulate

TRUTH = dict(icl_at=2e5, icl_width=5e4, ciwl_at=6e5, ciwl_width=1e5, loss=0.8)
RACE = ("--theory", "logistic_race", "--starts", 2)


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("curves") / "race.csv"
    simulate("logistic_race", TRUTH, noise=0.01).to_frame().to_csv(path, index=False)
    return path


def test_a_forecast_has_events_and_a_horizon(call, csv, tmp_path):
    page = tmp_path / "page.html"
    flags = (*RACE, "--until", "6e5", "--json", "--report", page, "--out", tmp_path / "f.json")
    found = json.loads(call("coopetition", "predict", csv, *flags))
    assert {*found["events"]} == {"peak", "crossing", "fade"}
    assert all({"value", "low", "high", "status"} <= {*each} for each in found["events"].values())
    assert found["horizon"] == 1e6, "the end of the curves"
    assert "<svg" not in page.read_text() and "data:image/svg+xml" in page.read_text()
    text = call("coopetition", "predict", csv, *RACE, "--until", "6e5", "--horizon", "2e6")
    assert "crossing: " in text and "fade: " in text, "defined where they are printed"
    assert "crossing" in text and "at 2e+06 sequences" in text


def test_the_default_horizon_is_never_refused(call, tmp_path):
    """Of a short part late in a run: three times its end is too far to look ahead."""
    path = tmp_path / "late.csv"
    frame = simulate("logistic_race", TRUTH).to_frame()
    frame["sequences"] = 9.9e6 + np.linspace(0, 1e5, len(frame))
    frame.to_csv(path, index=False)
    found = json.loads(call("coopetition", "predict", path, *RACE, "--json"))
    assert (found["known_until"], found["horizon"]) == (1e7, 9.9e6 + 100 * 1e5)


def test_fits_of_two_runs_share_what_is_asked(call, csv, tmp_path):
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
    told = {name: each["status"] for name, each in found["parameters"].items()}
    fixed = dict.fromkeys(("icl_width", "loss"), "fixed")
    assert told == dict.fromkeys(("icl_at", "ciwl_at", "ciwl_width"), "identifiable") | fixed
    assert page.read_text().count("<img") == 4 + 3
    page.unlink()
    call("coopetition", "compare", csv, "--theories", "logistic_race", "--report", page)
    assert page.read_text().count("<img") == 1 + 1


def test_recovery_tells_coverage_by_parameter(call):
    flags = ("--theory", "logistic_race", "--problems", 3, "--starts", 2)
    found = json.loads(call("coopetition", "recover", *flags, "--json"))
    assert {*found["parameters"]} == {*TRUTH} and found["n_problems"] == 3
    assert all({"coverage", "bias"} <= {*each} for each in found["parameters"].values())
    values = ("--values", *(f"{name}={value}" for name, value in TRUTH.items()))
    assert "coverage" in call("coopetition", "recover", *flags, *values)


CELLS = {
    "inf": "infinite",
    "-inf": "infinite",
    "-0.5": "below 0",
    "x": "is not a number",
    "1e9": "too large",
    "0,5": "cells",
}


def variants(path):
    """Files with one thing wrong each, and a word of what is told of it."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    head, cells = rows[0], np.array(rows[1:])

    def file(name, changed=cells, names=head, until=None):
        made = path.parent / f"{name}.csv"
        lines = [",".join(names), *(",".join(row) for row in changed[:until])]
        made.write_text("\n".join(lines) + "\n")
        return made

    def with_cell(row, column, text):
        changed = cells.astype(object)
        changed[row, column] = text
        return changed

    for n in range(8):
        yield file(f"short_{n}", until=n), ""
    for column in (1, 2, 3):
        for name, text in CELLS.items():
            yield file(f"cell_{column}_{name}", with_cell(7, column, name)), text
        constant = cells.astype(object)
        constant[:, column] = "0.5"
        yield file(f"constant_{column}", constant), "constant"
        empty = cells.astype(object)
        empty[:, column] = ""
        yield file(f"empty_{column}", empty), "0 samples"
        sparse = cells.astype(object)
        sparse[5:, column] = "nan"
        yield file(f"sparse_{column}", sparse), "5 samples"
    for name, text in (("nan", "rise"), ("inf", "rise"), ("0", "rise"), ("1e9", "rise"), ("t", "")):
        for row in (3, 50):
            yield file(f"sequences_{row}_{name}", with_cell(row, 0, name)), text
    yield file("falling", cells[::-1]), "rise"
    yield file("twice", np.concatenate([cells, cells])), "rise"
    yield file("other_names", names=["sequences", "a", "b", "c"]), "expected some of"
    yield file("no_sequences", names=["steps", "train", "icl", "ciwl"]), "expected `sequences`"
    yield file("same_names", names=["sequences", "icl", "icl", "ciwl"]), "two columns"
    yield file("unnamed", names=["sequences"]), "more cells"
    yield file("of_accuracy", names=["sequences", *(f"{n}/accuracy" for n in head[1:])]), "loss"
    (path.parent / "empty.csv").write_text("")
    yield path.parent / "empty.csv", "is empty"
    (path.parent / "binary.csv").write_bytes(bytes(range(256)))
    yield path.parent / "binary.csv", ""
    yield path.parent / "none.csv", "does not exist"
    yield path.parent, "not a run folder"


FLAGS = [
    (("--from", "5e5", "--until", "4e5"), "is not after"),
    (("--from", "nan"), "--from nan"),
    (("--from", "inf"), "--from inf"),
    (("--until", "nan"), "--until nan"),
    (("--until", "-1"), "--until -1"),
    (("--from", "2e6"), "0 samples from 2e+06 until inf"),
    (("--until", "3e4"), "samples here"),
    (("--metric", "accuracy"), "no curves of accuracy"),
    (("--metric", "magic"), ""),
    (("--theory", "magic"), "theory 'magic' is unknown"),
    (("--starts", "0"), "number of starts is 0"),
    (("--starts", "-3"), "number of starts is -3"),
    (("--starts", "100000000"), "number of starts is 100000000; choose at most 2048"),
    (("--starts", "many"), ""),
    (("--seed", "-1"), "seed is -1"),
    (("--seed", "0.5"), ""),
    (("--out", "fit.txt"), "end it in .json"),
    (("--plot", "fit.txt"), "names no picture format"),
    (("--report", "page.txt"), "end it in .html"),
    (("--report", "/proc/none/page.html"), ""),
]
FIT_FLAGS = [
    (("--shared", "mu1"), "cannot be shared by one run"),
    (("--fixed", "mu1=1e9"), "mu1 is 1e+09; choose a number from 0 to 10"),
    (("--fixed", "mu1=0.1,mu1=0.2"), "give each parameter once"),
    (("--fixed", "magic=1"), "no parameter 'magic'"),
    (("--fixed", "mu1"), "expected NAME=VALUE"),
    (("--fixed", "mu1="), "expected NAME=VALUE"),
    (("--fixed", "=1"), "expected NAME=VALUE"),
    (("--fixed", "mu1=nan"), "give a finite number"),
    (("--fixed", "mu1=magic"), "no parameter 'magic'"),
]
PREDICT_FLAGS = [
    (("--horizon", "0"), "horizon 0; choose one from 1e+06"),
    (("--horizon", "nan"), "horizon nan"),
    (("--horizon", "-5"), "horizon -5"),
    (("--until", "6e5", "--horizon", "3e5"), "where the known part ends"),
]
RECOVER_FLAGS = [
    (("--theory", "magic"), "theory 'magic' is unknown"),
    (("--problems", "0"), "number of problems is 0"),
    (("--problems", "x"), ""),
    (("--noise", "0"), "noise is 0"),
    (("--noise", "-1"), "noise is -1"),
    (("--noise", "nan"), "noise is nan"),
    (("--correlation", "1"), "correlation of noise is 1"),
    (("--correlation", "-0.1"), "correlation of noise is -0.1"),
    (("--correlation", "nan"), "correlation of noise is nan"),
    (("--samples", "3"), "samples"),
    (("--samples", "-3"), "samples"),
    (("--starts", "0"), "number of starts is 0"),
    (("--seed", "-1"), "seed is -1"),
    (("--values", "mu1"), "expected NAME=NUMBER"),
    (("--values", "mu1=x"), "expected NAME=NUMBER"),
    (("--values", "mu1=0.1"), "are missing"),
    (("--values", "magic=0.1"), "magic"),
]


def test_what_is_wrong_is_told_in_one_line(call, csv):
    """Some 200 slips, none of which gives numbers."""
    slips = [
        *(((command, path), text) for path, text in variants(csv) for command in
          ("fit", "compare", "predict")),
        *(((command, csv, *flags), text) for flags, text in FLAGS for command in
          ("fit", "predict")),
        *((("compare", csv, *flags), text) for flags, text in FLAGS
          if flags[0] not in ("--theory", "--out", "--plot")),
        *((("fit", csv, *flags), text) for flags, text in FIT_FLAGS),
        *((("predict", csv, *flags), text) for flags, text in PREDICT_FLAGS),
        *((("recover", *flags), text) for flags, text in RECOVER_FLAGS),
        (("predict", csv, csv), "a forecast is of one run"),
        (("fit", csv, csv), "are the same curves; give one"),
        (("predict",), "0 curves are given; a forecast is of one run"),
        (("compare", csv, "--theories", "magic"), "theory 'magic' is unknown"),
    ]  # fmt: skip
    assert len(slips) >= 200
    for arguments, text in slips:
        told = call("coopetition", *arguments, expect=2)
        assert text in told, (arguments, told)
        lines = [line for line in told.splitlines() if "error" in line]
        assert len(told.strip().splitlines()) == 1 or len(lines) == 1, (arguments, told)
