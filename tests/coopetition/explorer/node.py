"""The JavaScript of the explorer's page, evaluated by Node without the page."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest

from coopetition.explorer.page import render_page
from coopetition.explorer.settings import Setting

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node (`node`)")
COLLECT = """
const plain = named => Object.fromEntries(
  Object.entries(named).map(([name, values]) => [name, Array.from(values)]));
const collect = (run) => ({
  overlap: plain(run.overlap), orthogonal: plain(run.orthogonal), losses: plain(run.losses),
  status: run.status, n_steps: run.nSteps, events: findEvents(run), fate: findFate(run),
});
"""


def model_script(page: str) -> str:
    """Return the script of the page that does not touch the document."""
    found = re.search(r'<script id="model">(.*?)</script>', page, re.DOTALL)
    assert found
    return found[1]


@cache
def page_without_overlays() -> str:
    return render_page({})


def evaluate(expression: str, given: Any = None, overlays: dict[str, Any] | None = None) -> Any:
    """Return the value of a JavaScript expression of `given`, with the functions of the page."""
    script = model_script(render_page(overlays) if overlays else page_without_overlays())
    work = f"const given = {json.dumps(given)};\nconsole.log(JSON.stringify({expression}));"
    done = subprocess.run(
        ["node", "-"], input=script + COLLECT + work, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def simulate(settings: list[Setting]) -> list[dict[str, Any]]:
    """Return the runs of settings."""
    given = [asdict(setting) for setting in settings]
    return evaluate("given.map(each => collect(simulate(each)))", given)
