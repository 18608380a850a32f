"""The check of the GPU path, tried on the CPU."""

import ast
import json
import math
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from coopetition.tools.errors import UsageError
from tests.gpu import check, plan
from transformer.runs.layout import step_file

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


def rows_of(*checks, seconds=60.0, report=len, section="speed"):
    planned = [(check.Row(section, str(k)), each) for k, each in enumerate(checks)]
    return [row.status for row in check.run_checks(planned, seconds, report)]


def test_a_failed_row_does_not_stop_the_others():
    def fails():
        raise AssertionError("it differs")

    assert rows_of(dict, fails, dict) == ["passed", "failed", "passed"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"), "does not fit"),
        (RuntimeError("CUDA error: out of memory"), "does not fit"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "does not fit"),
        (RuntimeError("[...] DefaultCPUAllocator: can't allocate memory"), "does not fit"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "failed"),
    ],
)
def test_only_a_timed_row_may_lack_memory(error, expected):
    def fails():
        raise error

    assert rows_of(fails) == [expected]
    assert rows_of(fails, section="agrees") == ["failed"]


def test_the_check_ends_when_the_device_is_lost(monkeypatch, capsys):
    """Whatever the row itself found."""
    frees = iter([None, RuntimeError("CUDA error: an illegal memory access")])

    def free_memory(device):
        if error := next(frees):
            raise error

    monkeypatch.setattr(check, "free_memory", free_memory)
    assert rows_of(dict, dict, dict) == ["passed", "failed", "not run"]
    assert "illegal" in capsys.readouterr().out


def test_a_row_that_takes_too_long_is_not_finished_and_the_next_is_not_run():
    assert rows_of(dict, lambda: time.sleep(60), dict, seconds=0.1) == [
        "passed",
        "not finished",
        "not run",
    ]
    assert "passed" not in rows_of(lambda: time.sleep(60), dict, seconds=-1.0)


def test_a_timer_that_was_set_before_goes_on():
    before = signal.getitimer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, 50.0, 7.0)
    try:
        rows_of(dict)
        left, interval = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
    assert 40 < left <= 50 and interval == 7


def test_all_rows_are_reported_before_each_and_when_a_signal_comes():
    reported = []

    def report(rows):
        reported.append([row.status for row in rows])

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows_of(dict, stop, dict, report=report)
    assert reported == [
        ["not finished", "not run", "not run"],
        ["passed", "not finished", "not run"],
        ["passed", "not finished", "not run"],
    ]


def test_the_check_passes_only_if_every_execution_agrees(tmp_path):
    def code(**statuses):
        rows = [
            check.Row(section, "", execution, status, 0.0, {"why": ""})
            for section_and_execution, status in statuses.items()
            for section, _, execution in [section_and_execution.partition("_")]
        ]
        return check.summarise(rows, tmp_path / "check.json")

    assert code(agrees_eager="passed", agrees_graph="passed", speed_eager="does not fit") == 0
    assert code(agrees_eager="passed", agrees_graph="passed", speed_eager="failed") == 1
    assert code(agrees_eager="passed", agrees_graph="not run") == 1
    assert code(agrees_eager="not run", speed_="passed") == code(speed_="passed") == code() == 1


def test_rows_that_compile_come_last_but_those_of_the_plan_first_among_them(tmp_path):
    context = check.Context("cuda", check.Sizes(), tmp_path, check.get_args(check.Execution))
    names = [row.label for row, _ in check.plan(context)]
    assert len(names) == len({*names})
    is_compiled = ["compiled" in name for name in names]
    assert is_compiled == sorted(is_compiled)
    first = is_compiled.index(True)
    assert names[first] == "agrees, base, compiled-graph"
    assert names[first + 1] == "resume, a killed run, compiled-graph"
    shapes = [f"{node.name} of the plan" for node in plan.candidates("cpu")[:2]]
    assert names[first + 2 : first + 6] == [
        f"speed, {shape}, runs {n_runs}, compiled-graph" for n_runs in (8, 64) for shape in shapes
    ]
    assert names[first + 6] == "agrees, base, compiled"  # all executions agree by then


def test_parameters_that_do_not_move_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(check.Ensemble, "advance", lambda self: None)
    with pytest.raises(check.Mismatch, match="moved"):
        check.train_in_memory("cpu", "eager", check.base(check.QUICK))


def test_a_second_run_that_diverges_fails(monkeypatch):
    advance = check.Ensemble.advance

    def diverge(self):
        advance(self)
        self.train_state.failed_at[1] = 3

    monkeypatch.setattr(check.Ensemble, "advance", diverge)
    with pytest.raises(check.Mismatch, match="3"):
        check.train_in_memory("cpu", "eager", *check.two_seeds(check.base(check.QUICK)))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1.01])
@pytest.mark.parametrize("is_wrong", ["cuda", "cpu"])
def test_numbers_of_a_second_run_that_differ_fail(wrong, is_wrong, tmp_path, monkeypatch):
    """NaN too, on either side."""
    context = check.Context("cuda", check.QUICK, tmp_path, ("eager",))

    def train(device, execution, *configs):
        values = torch.tensor([1.0, wrong if device == is_wrong else 1.0])
        is_together = (len(configs) == 2) == (is_wrong == "cuda")
        pairs = {"a": values[:1], "b": values[1:] if is_together else torch.ones(1)}
        return SimpleNamespace(
            train_state=SimpleNamespace(loss_sum=values, run_parameters=lambda number: pairs)
        )

    monkeypatch.setattr(check, "train_in_memory", train)
    with pytest.raises(check.Mismatch, match="run 2"):
        check.check_losses(context, check.base(check.QUICK), "eager")
    context = check.Context(is_wrong, check.QUICK, tmp_path, ("eager",))
    with pytest.raises(check.Mismatch, match="b differs"):
        check.check_alone(context, "eager")


@pytest.mark.parametrize(("step", "is_refused"), [(4, False), (0, True)])
def test_a_resume_that_starts_again_fails(step, is_refused, tmp_path, monkeypatch):
    """Also of a run that writes more to stderr than a pipe holds; a script stands for it."""
    script = tmp_path / "trainer.sh"
    script.write_text(
        f"""
        if [ $1 = resume ]; then folder=$2; echo continuing from step {step} >&2
        else folder=${{@: -1}}; fi
        mkdir -p $folder/checkpoints; cd $folder/checkpoints
        case $1$folder in
        train*killed*) head -c 200000 /dev/zero >&2; touch {step_file(Path(), "", 10).name}
            exec sleep 60 ;;
        *) touch {step_file(Path(), "", 20 * check.QUICK.n_steps).name} ;;
        esac
        """
    )
    monkeypatch.setattr(check, "TRAINER", ("bash", str(script)))
    context = check.Context("cpu", check.QUICK, tmp_path, ("eager",))
    with pytest.raises(check.Mismatch, match="continue") if is_refused else nullcontext():
        check.check_resume(context, "eager")


def test_a_trial_has_a_file_of_its_own_that_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "plan", lambda context: [])
    assert check.main(["--quick", "--device", "cpu", "--minutes", "3"]) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["gpu_check_quick.json"]
    report = json.loads((tmp_path / "gpu_check_quick.json").read_text())
    assert report["quick"] is True and report["minutes"] == 3
    assert datetime.fromisoformat(report["date"]) and "git" in report["machine"]


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


def read(file):
    return file.read_text() if file.exists() else ""


def run_script(*flags, **environment):
    """Return how check.sh ends."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable} | environment
    return subprocess.run(["bash", *flags], env=environment, capture_output=True, text=True)


def test_the_script_runs_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to(SCRIPT)
    done = run_script(str(tmp_path / "link"), "--unknown")
    assert (done.returncode, "--unknown" in done.stderr) == (2, True)


def test_an_old_torch_is_refused(tmp_path):
    metadata = tmp_path / "torch-2.9.1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.1\n")
    done = run_script(str(SCRIPT), "--unknown", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2 and "torch 2.9.1" in done.stderr and "2.10" in done.stderr


def test_an_old_python_can_read_why_it_is_refused():
    """The program has no syntax that is newer than its first lines allow."""
    program = SCRIPT.with_name("environment.sh").read_text().split("-c '")[1].split("' $needed")[0]
    tree = ast.parse(program, feature_version=(3, 7))
    newer = (ast.JoinedStr, ast.NamedExpr, ast.Starred)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]


def test_an_interruption_of_the_imports_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    for script in (SCRIPT, SCRIPT.with_name("plan.sh")):
        done = run_script(str(script), "--quick", PYTHONPATH=str(tmp_path))
        assert done.returncode == 130 and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_call_that_hangs_ends_the_check(tmp_path):
    """It blocks the signal of the time; the report names its row."""
    program = (
        "import sys, time\n"
        "from tests.gpu import check\n"
        "check.GRACE_S = 1.0\n"
        "def hang():\n"
        "    check.signal.pthread_sigmask(check.signal.SIG_BLOCK, [check.signal.SIGALRM])\n"
        "    time.sleep(100)\n"
        "check.plan = lambda context: [(check.Row('agrees', 'first'), dict),"
        " (check.Row('agrees', 'second'), hang)]\n"
        "sys.exit(check.main(sys.argv[1:]))"
    )
    out = tmp_path / "check.json"
    flags = ["--quick", "--device", "cpu", "--minutes", "0.15", "--out", str(out)]
    done = subprocess.run([sys.executable, "-c", program, *flags], capture_output=True, text=True)
    assert done.returncode == 1 and "second" in done.stdout and "Timeout" in done.stderr
    statuses = [row["status"] for row in json.loads(out.read_text())["rows"]]
    assert statuses == ["passed", "not finished"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_user_stops_the_check_and_has_the_rows_so_far(tmp_path, number):
    """From another folder, with a relative path."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = ["bash", str(SCRIPT), "--device", "cpu", "--quick", "--out", "check.json"]
    # a shell's background jobs ignore SIGINT, and those of `nohup` SIGHUP
    heeds = partial(signal.signal, number, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=tmp_path, env=environment, preexec_fn=heeds) as process:
        while process.poll() is None and '"passed"' not in read(tmp_path / "check.json"):
            time.sleep(0.05)
        process.send_signal(number)
    assert process.returncode == 128 + number
    counts = json.loads((tmp_path / "check.json").read_text())["counts"]
    assert counts["passed"] and counts["not run"]
