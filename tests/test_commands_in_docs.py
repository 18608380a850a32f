"""Commands that README and the site show: all are parsed, cheap ones are executed."""

import re
import shlex
import shutil
from importlib import import_module

import numpy as np
import pytest
from safetensors.numpy import save_file

from coopetition.tools import flags
from tests.coopetition.fitting.test_reading import LOGS
from tests.test_docs import PAGES, ROOT

OTHER_PAGES = ("CONTRIBUTING.md", "tests/gpu/README.md", "tests/slurm/README.md")
PROGRAMS = {
    "coopetition": "coopetition",
    "python -m transformer": "transformer",
    "python -m paper_figures": "paper_figures",
}
START = "|".join(PROGRAMS)
SHELL_BLOCK = re.compile(r"^ *```(?:text|sh|console)?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
OTHER_BLOCK = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINE = re.compile(rf"^(?:\s*|.*&& )((?:{START}) .*)$", re.MULTILINE)
INLINE = re.compile(rf"`((?:{START}) [^`]*)`")
PLACEHOLDERS = {  # the first that matches counts
    r"\[--": "--",
    r"\]( |$)": " ",
    r"\.\.\.( |$)": " ",
    r"'\.\.\.'": "'[]'",
    r"\|\S*": "",
    r"--theor(y|ies) NAME": r"--theor\1 toy",
    r"--measures NAME": "--measures accuracy",
    r"RUN(_OR_LOG)?\b": "runs/smoke",
    r"\bSEQUENCES\b": "1e6",
    r"\b(DIR|FOLDER)\b": "runs",
    r"\bFILE\b": "file",
    r"\bSCALE\b": "cpu",
    r"\bPLAN\b": "coopetition",
    r" N\b": " 4",
    r"tests/": f"{ROOT}/tests/",
}
CHEAP = re.compile(  # the others train, fit, or need a file that the reader makes
    r"transformer (data|measures|interventions|presets|ls|evaluate runs/smoke|export runs/smoke|"
    r"resume runs/smoke)|transformer sweep coopetition .*--dry-run|coopetition solve --|"
    r"paper_figures (--list|results)|coopetition plot runs/smoke"
)


def commands(page):
    """Return the commands of a page as lines, without comments and with values for placeholders."""
    text = page.read_text().replace("\\\n", " ")
    shell = "\n".join(SHELL_BLOCK.findall(text))
    text = OTHER_BLOCK.sub("", text)
    indented = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    found = LINE.findall(shell) + LINE.findall(indented) + INLINE.findall(text)
    lines = dict.fromkeys(re.sub(r"\s+#.*", "", line.replace("\n", " ")).strip() for line in found)
    for line in lines:
        for placeholder, value in PLACEHOLDERS.items():
            line = re.sub(placeholder, value, line)
        if "COMMAND" not in line:
            yield " ".join(line.split())


CASES = [
    pytest.param(line, id=f"{page.name}: {line}")
    for page in [*PAGES, *(ROOT / name for name in OTHER_PAGES)]
    for line in commands(page)
    if line not in PROGRAMS
]


def split(line):
    program = next(name for name in PROGRAMS if line.startswith(f"{name} "))
    return PROGRAMS[program], shlex.split(line.removeprefix(program))


class Parsed(Exception):
    """Stops a command whose flags are right."""


@pytest.fixture
def files(tmp_path, monkeypatch, smoke_run):
    shutil.copytree(smoke_run.path, tmp_path / "runs" / "smoke")
    (tmp_path / "logs").symlink_to(LOGS)
    vectors = np.random.default_rng(0).standard_normal((1600, 20, 8), np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    save_file({"features": vectors}, tmp_path / "features.safetensors")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("line", CASES)
@pytest.mark.usefixtures("files")
def test_flags_are_right(line, monkeypatch, capsys):
    def parse(kind, arguments, **keywords):
        flags.parse_flags(kind, arguments, **keywords)
        raise Parsed

    program, arguments = split(line)
    if len(arguments) == 1:  # the name of a command, in a sentence
        arguments.append("--help")
    for module in ("coopetition.tools.commands", "paper_figures.cli"):
        monkeypatch.setattr(f"{module}.parse_flags", parse)
    try:
        code = import_module(f"{program}.cli").main(arguments)
    except (Parsed, SystemExit):
        return
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("line", [case for case in CASES if CHEAP.search(case.values[0])])
@pytest.mark.usefixtures("files")
def test_cheap_commands_run(line, capsys):
    program, arguments = split(line)
    assert import_module(f"{program}.cli").main(arguments) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("line", [case for case in CASES if "fit logs/" in case.values[0]])
@pytest.mark.usefixtures("files")
def test_logs_are_fitted(line, capsys):
    program, arguments = split(line)
    assert import_module(f"{program}.cli").main(arguments) == 0, capsys.readouterr().err
