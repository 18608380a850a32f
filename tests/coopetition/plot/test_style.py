"""Colours, axes and files that all plots share."""

import itertools

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_rgb

from coopetition.plot.style import COLOURS, FURTHER, graded_styles, line_styles, new_axes, save_plot
from coopetition.tools.errors import UsageError

# linear sRGB as seen without one kind of cone (Machado, Oliveira and Fernandes 2009, severity 1)
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array(  # of linear sRGB (IEC 61966-2-1), relative to its white
    [[0.433953, 0.376219, 0.189828], [0.212673, 0.715152, 0.072175], [0.017758, 0.109477, 0.872765]]
)


def lab(colour, vision):
    """CIE 1976 L*a*b* of a colour as somebody sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(VISION[vision] @ linear, 0, 1)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_for_all_kinds_of_vision(vision):
    """A distance of 2.3 is just noticeable; any two of ours are 15 and more apart."""
    colours = sorted({*COLOURS.values(), *FURTHER})
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(lab(one, vision) - lab(other, vision)) > 15, (one, other)


def test_only_a_strategy_has_its_colour():
    """In particular the fourth mechanism of a graph does not get ICL's."""
    names = ["first", "icl", "second", "third", *map(str, range(12)), "total"]
    styles = line_styles(names)
    assert styles["icl"]["color"] == COLOURS["icl"]
    others = [styles[name] for name in names if name not in COLOURS]
    assert not {style["color"] for style in others} & set(COLOURS.values())
    assert len({(style["color"], style["linestyle"]) for style in others}) == len(others)


def test_new_axes_are_pyplots_unless_given():
    ax = new_axes(None)
    assert ax.figure.number in pyplot.get_fignums()
    assert new_axes(ax) is ax
    pyplot.close(ax.figure)


@pytest.mark.parametrize(
    ("name", "start"), [("p.png", b"\x89PNG"), ("p.PDF", b"%PDF"), ("p.svg", b"<?xml")]
)
def test_a_plot_is_saved_whole_and_nothing_is_left_open(name, start, tmp_path):
    save_plot(lambda ax: ax.plot([0, 1]), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert not pyplot.get_fignums()
    with pytest.raises(UsageError, match=r"\.png, \.pdf or \.svg"):
        save_plot(lambda ax: None, tmp_path / "p.txt")


@pytest.mark.parametrize("vision", VISION)
def test_graded_colours_grow_lighter_for_all_kinds_of_vision(vision):
    styles = graded_styles(map(str, range(12)))
    lightness = [lab(style["color"], vision)[0] for style in styles.values()]
    assert len(styles) == 12 and np.diff(lightness).min() > 1
