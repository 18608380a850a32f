"""The page is one small file without loads; its links, code and overlays say what it shows."""

import os
import re
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from coopetition import Curves, Trajectory, UsageError
from coopetition.explorer.page import render_page, write_explorer
from coopetition.explorer.settings import published_setting
from coopetition.fitting.observation import fit_floor_gain
from paper_figures.explorer import measured_losses
from tests.coopetition.explorer.node import evaluate, needs_node, simulate
from tests.coopetition.explorer.test_presets import solved_alone
from tests.coopetition.explorer.test_simulation import SETTINGS

MAX_BYTES = 300_000
VIEW = {"scale": "linear", "plane": "built", "overlay": "", "time": None}


@pytest.fixture(scope="module")
def overlays():
    return measured_losses()


def test_the_page_is_small_and_loads_nothing(overlays, tmp_path):
    path = write_explorer(tmp_path / "page.html", overlays)
    page = path.read_text()
    assert path.stat().st_size < MAX_BYTES
    assert "http" not in page and "@import" not in page and "url(" not in page.replace("url(#", "")
    assert not re.findall(r"<(?:link|img|iframe|script src)", page)
    assert not re.findall(r"{{\w+}}", page)


def test_every_process_writes_the_same_page(tmp_path):
    program = """if True:
        import sys
        from coopetition import write_explorer
        from paper_figures.explorer import measured_losses
        write_explorer(sys.argv[1], measured_losses())
    """
    pages = [tmp_path / f"{seed}.html" for seed in range(2)]
    for seed, page in enumerate(pages):
        environment = os.environ | {"PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", program, page], check=True, env=environment)
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_samples_without_both_losses_are_left_out_and_too_few_are_refused():
    gap = float("nan")
    curves = Curves([0.0, 1.0, 2.0], {"icl": [3.0, gap, 1.0], "ciwl": [3.0, 2.0, 1.0]})
    assert '"sequences": [0.0, 2.0]' in render_page({"gap": curves})
    with pytest.raises(UsageError, match="few.* 1 samples"):
        render_page({"few": curves.between(1.0)})
    with pytest.raises(UsageError, match="ciwl"):
        render_page({"half": curves.select("icl")})


def test_a_constant_curve_is_refused():
    constant = [2.0, 2.0, 2.0000001]
    curves = Curves([0.0, 1.0, 2.0], {"icl": [3.0, 2.0, 1.0], "ciwl": constant})
    with pytest.raises(UsageError, match="ciwl.*flat"):
        render_page({"flat": curves})


def test_close_samples_late_in_training_stay_apart():
    falling = [3.0, 2.0, 1.0]
    curves = Curves([1e8, 1e8 + 10, 1e8 + 20], {"icl": falling, "ciwl": falling})
    assert '"sequences": [0.0, 10.0, 20.0]' in render_page({"late": curves})


@needs_node
@pytest.mark.parametrize("name", SETTINGS)
def test_a_link_restores_the_setting_and_the_view(name):
    setting = asdict(SETTINGS[name])
    view = VIEW | {"scale": "log", "plane": "overlaps", "time": 4321.5}
    given = {"setting": setting, "view": view}
    read = evaluate('readHash("#" + writeHash(given.setting, given.view))', given)
    assert read == given | {"problem": None}


@needs_node
def test_the_link_of_the_default_view_is_empty():
    assert evaluate("writeHash(DATA.presets[DATA.start].setting, VIEW)") == ""


@needs_node
@pytest.mark.parametrize(
    "word",
    [
        "alpha=x",
        "alpha=",
        "alpha=-1",
        "mu1=Infinity",
        "step=0",
        "draw=12",
        "draw=-1",
        "u_e=1",
        "u_a_b=1",
        "w_a=-1",
        "preset=none",
        "scale=cubic",
        "overlay=none",
        "time=1e9",
        "nonsense",
        "constructor=1",
        "u_a=%E0%A4%A",
        "__proto__=1",
        "preset=__proto__",
    ],
)
def test_a_broken_part_of_a_link_is_named_and_the_rest_is_used(word):
    read = evaluate("readHash(given)", f"#{word}&mu2=0.5")
    assert word in read["problem"]
    assert "\n" not in read["problem"]
    assert read["setting"] == asdict(published_setting(7, mu2=0.5))
    assert read["view"] == VIEW


@needs_node
def test_python_code_gives_the_same_run():
    names = ["published", "ciwl_helps_icl", "small steps", "diverges", "random 1", "random 2"]
    settings = [SETTINGS[name] for name in names]
    codes = evaluate("given.map(toPython)", [asdict(setting) for setting in settings])
    for code, run in zip(codes, simulate(settings), strict=True):
        names = {}
        exec(code, names)
        trajectory = names["trajectory"]
        assert isinstance(trajectory, Trajectory)
        assert trajectory.n_steps == run["n_steps"]
        for loss, values in trajectory.losses.items():
            found = np.array(run["losses"][loss], float)
            np.testing.assert_allclose(found, values, rtol=1e-9, atol=1e-14)


@needs_node
def test_the_run_without_ciwl_is_that_of_a_clamped_d():
    setting = published_setting(6)
    alone = evaluate("collect(simulateAlone(given))", asdict(setting))
    expected = solved_alone(setting)
    assert alone["n_steps"] == expected.n_steps
    for loss, values in expected.losses.items():
        np.testing.assert_allclose(alone["losses"][loss], values, rtol=1e-9, atol=1e-14)
    assert alone["events"]["emergence"] == pytest.approx(expected.events().emergence, rel=1e-9)


@needs_node
def test_an_overlay_finds_the_stretch_floor_and_gain_that_it_was_made_with():
    run = simulate([published_setting(7)])[0]
    time = np.linspace(3000.0, 8000.0, 41)
    losses = {name: np.array(run["losses"][name])[time.astype(int)] for name in ("icl", "ciwl")}
    measured = {"icl": 2 + 5 * losses["icl"], "ciwl": 1 + 9 * losses["ciwl"]}
    curves = Curves(1e6 + 400 * time, measured)
    expression = """(() => {
      const {first, last, curves} = alignOverlay(simulate(given), DATA.overlays.made);
      return {first, last, curves};
    })()"""
    found = evaluate(expression, asdict(published_setting(7)), {"made": curves})
    assert found["first"] == pytest.approx(3000, abs=40)
    assert found["last"] == pytest.approx(8000, abs=40)
    for name, floor, gain in (("icl", 2, 5), ("ciwl", 1, 9)):
        assert found["curves"][name]["floor"] == pytest.approx(floor, abs=0.05)
        assert found["curves"][name]["gain"] == pytest.approx(gain, rel=0.03)
        assert found["curves"][name]["unexplained"] < 1e-3


@needs_node
def test_no_stretch_of_a_fine_grid_is_closer_to_an_overlay(overlays):
    settings = [asdict(SETTINGS[name]) for name in ("published", "ciwl_helps_icl", "draw 3")]
    expression = """given.map(each => Object.values(DATA.overlays).map(overlay => {
      const run = simulate(each);
      const fit = overlayFit(run, overlay);
      let closest = Infinity;
      for (let first = 0; first < 16000; first += 100) {
        for (let last = first + 200; last <= 16000; last += 100) {
          closest = Math.min(closest, fit(first, last).unexplained);
        }
      }
      return alignOverlay(run, overlay).unexplained / closest;
    }))"""
    assert np.max(evaluate(expression, settings, overlays)) < 1.002


@needs_node
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("offset", [-3.0, 0.0, 3.0])
def test_floor_and_gain_are_those_of_a_fit(sign, offset):
    rng = np.random.default_rng(0)
    model = rng.random(20)
    measured = offset + sign * model + 0.1 * rng.random(20)
    found = evaluate("fitFloorGain(given[0], given[1])", [measured.tolist(), model.tolist()])
    expected = fit_floor_gain(measured, model, np.zeros((20, 1)), np.ones(20))
    assert found["floor"] == pytest.approx(expected.floor)
    assert found["gain"] == pytest.approx(expected.gain)
