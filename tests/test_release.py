"""A release: its versions agree, and its wheel works in an empty environment.

The slow tests need the extra `release`. They build the wheel and the sdist, or check those in the
folder that the environment variable COOPETITION_DIST names.
"""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
LARGEST = 12e6  # bytes of an archive; 8 and 10 million in version 0.2.0
TOOLS = ("build", "cffconvert", "check_wheel_contents", "twine")
MISSING = [tool for tool in TOOLS if find_spec(tool) is None]

release_check = pytest.mark.skipif(
    bool(MISSING), reason=f'{MISSING} not installed; run pip install -e ".[release]"'
)


def run(*command: object, cwd: Path = ROOT, **settings: str) -> str:
    """Run a command without this checkout on its path; return its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def archives(tmp_path_factory) -> tuple[Path, Path]:
    """Return the wheel and the sdist."""
    folder = Path(os.environ.get("COOPETITION_DIST", tmp_path_factory.mktemp("dist")))
    if "COOPETITION_DIST" not in os.environ:
        run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_the_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text()
    (cited,) = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    (date,) = re.findall(r"^date-released: (.+)$", citation, re.MULTILINE)
    versions = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[:2] == ["[Unreleased]", f"[{VERSION}] - {date}"]
    assert cited == VERSION


@pytest.mark.slow
@release_check
def test_the_citation_is_valid():
    run(Path(sys.executable).with_name("cffconvert"), "--validate")


@pytest.mark.slow
@pytest.mark.timeout(300)
@release_check
def test_archives_are_well_formed_and_complete(archives):
    wheel, sdist = archives
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    run(sys.executable, "-m", "check_wheel_contents", wheel)
    assert wheel.stat().st_size < LARGEST and sdist.stat().st_size < LARGEST

    files = {
        path.relative_to(ROOT).as_posix()
        for package in WHEEL["packages"]
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - set(zipfile.ZipFile(wheel).namelist()) == set(WHEEL["exclude"])
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    assert files | tests | {"CITATION.cff", "README.md", "docs/theory.md"} <= packed


@pytest.mark.slow
@pytest.mark.timeout(900)
@release_check
def test_the_wheel_works_in_an_empty_environment(archives, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python, cache = tmp_path / "venv" / "bin" / "python", str(tmp_path / "cache")
    run(python, "-m", "pip", "install", "--quiet", "--no-compile", archives[0], cwd=tmp_path)
    program = python.with_name("coopetition")
    assert VERSION in run(program, "--version", cwd=tmp_path)
    run(program, "demo", "--quick", "--threads", 1, cwd=tmp_path, COOPETITION_CACHE=cache)
    assert (tmp_path / "demo" / "report.md").is_file()
    run(python, "-m", "paper_figures", "coopetition", "1", cwd=tmp_path)
    assert (tmp_path / "figures" / "coopetition_1.png").is_file()
