"""Damaged and contradictory files end in one line, and nothing is overwritten."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.tools.errors import UserError
from tests.transformer.conftest import HERE, contents, tiny_config
from transformer.config import RunConfig, to_dict
from transformer.experiments.presets import PRESETS
from transformer.runs.folder import load_run
from transformer.runs.train import resume, train

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3)
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run of 20 steps."""
    config = replace(tiny_config(), n_steps=20, checkpoint_every=5)
    return train(config, tmp_path_factory.mktemp("damage") / "run", HERE)


@st.composite
def damages(draw):
    """A change of some bytes: cut, flipped, dropped, doubled, or other ones put in."""
    start, length = draw(st.floats(0, 1)), draw(st.integers(1, 40))
    kind = draw(st.sampled_from(["cut", "flip", "drop", "double", "insert"]))
    new = draw(st.binary(min_size=1, max_size=40))

    def damage(content: bytes) -> bytes:
        at = int(start * len(content))
        before, part, after = content[:at], content[at : at + length], content[at + length :]
        return {
            "cut": before,
            "flip": before + bytes(byte ^ 1 + new[0] % 255 for byte in part) + after,
            "drop": before + after,
            "double": before + part + part + after,
            "insert": before + new + part + after,
        }[kind]

    return damage


def resumes_or_says_why(folder: Path, n_steps: int) -> None:
    """A damaged run is finished, or one line says why not and every file is as it was."""
    before = contents(folder)
    try:
        (run,) = resume(folder, n_steps=n_steps)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        assert contents(folder) == before
    else:
        assert load_run(folder).current_status()["status"] == "finished"
        assert run.config.n_steps == n_steps


@pytest.mark.parametrize(
    "files", ["manifest.json", "checkpoints/*", "state/*", "metrics.jsonl", "evaluators/*"]
)
@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=1000)
@given(damage=damages(), which=st.integers(0, 3), further=st.booleans())
def test_damaged_files(whole, files, damage, which, further):
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "run"
        shutil.copytree(whole.path, copy)
        paths = sorted(copy.glob(files), reverse=True)
        path = paths[which % len(paths)]
        path.write_bytes(damage(path.read_bytes()))
        resumes_or_says_why(copy, 23 if further else 20)


def fields_of(table: dict, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all fields and tables of a nested config."""
    paths = []
    for name, value in table.items():
        paths.append((*prefix, name))
        if isinstance(value, dict):
            paths += fields_of(value, (*prefix, name))
    return paths


@st.composite
def contradictions(draw):
    """A preset's config of which some fields have other values."""
    preset = PRESETS[draw(st.sampled_from(sorted(PRESETS)))]
    scales = [scale for scale in ("paper", "cpu") if scale in preset.scales]
    table = to_dict(preset.config(draw(st.sampled_from(scales))))
    numbers = st.integers(-2, 40) | st.floats(0, 40)
    words = st.sampled_from(["all", "mlp", "blocks.7", "sgd", "adamw", "rotary", "random", "paper"])
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(fields_of(table)))
        place = table
        for name in path:
            place = place.get(name) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            continue
        if draw(st.booleans()):
            place[last] = draw(numbers | words | json_values)
        else:
            place.pop(last, None)
    return table


@settings(max_examples=200)
@given(contradictions())
def test_contradictory_configs(table):
    """A config that stands says again what it is; of any other, one line says why not."""
    try:
        config = RunConfig.from_dict(table)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        again = RunConfig.from_dict(json.loads(json.dumps(to_dict(config))))
        assert again == config and again.run_id() == config.run_id()
