"""`coopetition phases`."""

import json

import pytest

from coopetition.model.graph import Model
from coopetition.studies.phases import PhaseDiagram


def test_the_contract(call, tmp_path):
    flags = ["--cells", 40, "--draws", 4, "--steps", 300, "--json"]
    flags += ["--out", tmp_path / "d.npz", "--plot", tmp_path / "d.png"]
    result = json.loads(call("coopetition", "phases", *flags))
    assert result["cells"] == 48 == sum(result["fates"].values())  # 10 points make no grid; 12 do
    assert result["seconds"] > 0
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    assert PhaseDiagram.load(tmp_path / "d.npz").fates.size == 48


def test_a_grid_and_the_other_numbers_can_be_given(call):
    flags = ["--x", "mu1", 0, 0.2, "--y", "mu2", 0, 0.1, "--alpha", 0.3, "--grid", 3, 2]
    result = json.loads(call("coopetition", "phases", *flags, "--draws", 2, "--steps", 9, "--json"))
    assert (result["x"]["n"], result["y"]["n"], result["cells"]) == (3, 2, 12)
    assert [cost.alpha for cost in Model.from_dict(result["model"]).costs] == [0.3]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--x", "beta", "0", "1"], "no parameter 'beta'"),
        (["--cells", "0"], "--cells is 0"),
        (["--cells", str(10**12)], f"--cells is {10**12}; choose at most {10**7}"),
        (["--cells", "100", "--grid", "2", "2"], "--grid and --cells"),
        (["--grid", "0", "2"], "at least 1"),
        (["--alpha", "0.1"], "alpha is the x axis; leave out --alpha"),
        (["--model", "no_competition"], "no parameter 'alpha'"),
        (["--draws", "0"], "--draws is 0"),
    ],
)
def test_a_mistake_is_refused_in_one_line(call, flags, names):
    error = call("coopetition", "phases", *flags, expect=2)
    assert error.startswith("coopetition: error: ") and names in error
