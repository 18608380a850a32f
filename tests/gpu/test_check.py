"""The check of the GPU path, tried on the CPU."""

import json
import re
import signal
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import torch

from coopetition.tools.errors import UsageError
from tests.gpu import check, plan

SCRIPT = Path(check.__file__).with_suffix(".sh")
README = SCRIPT.with_name("README.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_check_passes_on_a_cpu(tmp_path, capsys):
    out = tmp_path / "check.json"
    assert check.main(["--device", "cpu", "--quick", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["counts"] == {"passed": len(report["rows"])}
    assert {row["section"] for row in report["rows"]} == {"agrees", "resume", "alone", "speed"}
    assert report["machine"]["torch"] == torch.__version__ and report["machine"]["device"]


def rows_of(*checks, seconds=60.0, report=len):
    planned = [(check.Row("speed", str(k)), each) for k, each in enumerate(checks)]
    return [row.status for row in check.run_checks(planned, seconds, report)]


def test_a_failed_row_does_not_stop_the_others():
    def fails():
        raise AssertionError("it differs")

    def fills_the_memory():
        raise torch.OutOfMemoryError("too much")

    def breaks():
        raise RuntimeError("CUDA error")

    found = rows_of(dict, fails, fills_the_memory, breaks, dict)
    assert found == ["passed", "failed", "does not fit", "failed", "passed"]


def test_a_row_that_takes_too_long_is_not_finished_and_the_next_is_not_run():
    assert rows_of(dict, lambda: time.sleep(60), dict, seconds=0.1) == [
        "passed",
        "not finished",
        "not run",
    ]
    assert "passed" not in rows_of(lambda: time.sleep(60), dict, seconds=-1.0)


def test_all_rows_are_reported_after_each_and_when_a_signal_comes():
    reported = []

    def report(rows):
        reported.append([row.status for row in rows])

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows_of(dict, stop, dict, report=report)
    assert reported == [["passed", "not run", "not run"], ["passed", "not finished", "not run"]]


def test_without_a_row_that_passed_the_check_fails(tmp_path):
    def code(*statuses):
        rows = [check.Row("speed", "a row", each, 0.0, {"why": ""}) for each in statuses]
        return check.summarise(rows, tmp_path / "check.json")

    assert code("passed", "not run", "does not fit") == 0
    assert code("passed", "failed") == code("does not fit") == code("not run") == code() == 1


def test_rows_that_compile_come_last_but_those_of_the_plan_first_among_them(tmp_path):
    context = check.Context("cuda", check.Sizes(), tmp_path, check.get_args(check.Execution))
    names = [f"{row.section} {row.name}" for row, _ in check.plan(context)]
    assert len(names) == len({*names})
    is_compiled = ["compiled" in name for name in names]
    assert is_compiled == sorted(is_compiled)
    first = is_compiled.index(True)
    assert names[first : first + 2] == ["agrees base, compiled-graph", "resume compiled-graph"]
    shapes = [f"{node.name} of the plan" for node in plan.candidates("cpu")[:2]]
    assert names[first + 2 : first + 6] == [
        f"speed {shape}, runs {n_runs}, compiled-graph" for n_runs in (8, 64) for shape in shapes
    ]


def test_parameters_that_do_not_move_fail(tmp_path, monkeypatch):
    context = check.Context("cpu", check.QUICK, tmp_path, ("eager",))
    monkeypatch.setattr(check.Ensemble, "advance", lambda self: None)
    with pytest.raises(AssertionError, match="moved"):
        check.trained(context, "cpu", "eager", check.base(check.QUICK))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--minutes", "0"], "--minutes"),
        (["--minutes", "-1"], "--minutes"),
        (["--minutes", "nan"], "--minutes"),
        (["--out", str(SCRIPT.parent)], "gpu"),
        (["--out", str(SCRIPT / "check.json")], "check.sh"),
        pytest.param(
            [],
            "cuda",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(flags, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=named):
        check.main(flags)
    assert not [*tmp_path.iterdir()]


def wheels():
    """Return the packages of which the README says to bring wheels."""
    line = next(each for each in README.splitlines() if each.strip().startswith("pip download"))
    return {each for each in line.split()[2:] if not each.startswith("--")} - {"wheels"}


@pytest.mark.slow
def test_the_readme_lists_the_packages_that_training_imports(tmp_path):
    """With those that they require, and without those that torch requires."""
    flags = ["--preset", "smoke", "--n-steps", "2", "--threads", "1", "--execution", "eager"]
    program = (
        "import sys, tests.gpu.check, transformer.cli\n"
        "code = transformer.cli.main(sys.argv[1:])\n"
        "sys.exit(code or '|'.join(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    command = [sys.executable, "-c", program, "train", *flags, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    of_modules = packages_distributions()
    modules = done.stderr.splitlines()[-1].split("|")
    imported = {name for module in modules for name in of_modules.get(module, ())}
    given = with_requirements({"torch", "numpy"}) | {"coopetition"}
    assert wheels() == with_requirements(imported - given) - given


def with_requirements(names):
    """Return packages and all that they require, by their names in lower case."""
    found, left = set(), [*names]
    while left:
        name = left.pop().lower().replace("_", "-")
        if name not in found:
            found.add(name)
            lines = requires(name) or []
            plain = [line for line in lines if ";" not in line]
            left += [re.match(r"[\w-]+", line)[0] for line in plain]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_user_stops_the_check_and_has_the_rows_so_far(tmp_path, number):
    """From another folder, with a relative path."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = ["bash", str(SCRIPT), "--device", "cpu", "--quick", "--out", "check.json"]
    # a shell's background jobs ignore SIGINT
    heeds = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=tmp_path, env=environment, preexec_fn=heeds) as process:
        while process.poll() is None and not (tmp_path / "check.json").exists():
            time.sleep(0.05)
        process.send_signal(number)
    assert process.returncode == 128 + number
    counts = json.loads((tmp_path / "check.json").read_text())["counts"]
    assert counts["passed"] and counts["not run"]
