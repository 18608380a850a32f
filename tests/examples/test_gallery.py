"""The examples are short and show a plot.  The site's build runs all, these tests the fast ones."""

import ast
import runpy

import pytest
from matplotlib import pyplot

from tests.test_docs import ROOT

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
TRAINING = ("train_in_memory", "attention_patterns", "intervention")
SLOW = (*TRAINING, "compare_theories", "forecast")
FAST = [script for script in SCRIPTS if script.stem not in SLOW]


def test_there_are_enough():
    assert len(SCRIPTS) >= 12


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_short_and_has_a_title(script):
    text = script.read_text()
    assert len(text.splitlines()) <= 40
    title, underline, blank, *_ = ast.get_docstring(ast.parse(text)).splitlines()
    assert underline == "=" * len(title) and not blank


@pytest.mark.parametrize("script", FAST, ids=lambda script: script.stem)
def test_a_script_shows_a_plot(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("agg")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    runpy.run_path(str(script), run_name="__main__")
    axes = [ax for number in pyplot.get_fignums() for ax in pyplot.figure(number).axes]
    assert axes and all(ax.has_data() for ax in axes)
