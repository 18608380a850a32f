"""The commands on runs: `show`, `ls`, `evaluate`, `export`, `tensorboard`, `resume`."""

import csv
import json
import shutil

import pytest

from transformer.cli import main


def train(folder, *flags):
    given = ["train", "--preset", "smoke", "--out", folder, "--threads", 1, *flags]
    assert main([str(each) for each in given]) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished smoke run."""
    return train(tmp_path_factory.mktemp("run") / "smoke")


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Two runs that were trained together."""
    flags = ("--n-steps", 50, "--vary", "init_seed", 5, 6, "--execution", "eager")
    return train(tmp_path_factory.mktemp("runs") / "both", *flags)


def last_row(run):
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def test_the_status_of_a_run_is_shown(call, run, tmp_path):
    status = json.loads(call("transformer", "show", run, "--json"))
    assert (status["status"], status["step"]) == ("finished", 300)
    assert status["latest_checkpoint"].endswith("step_000000300.safetensors")
    assert json.loads(call("transformer", "ls", run, "--json"))["run"] == run.name
    row = json.loads(call("transformer", "ls", run.parent, "--json"))
    assert all(row[name] == status[name] for name in ("run_id", "status", "step", "n_steps"))
    assert str(tmp_path) in call("transformer", "ls", tmp_path)


def test_a_checkpoint_is_evaluated(call, run):
    newest = json.loads(call("transformer", "evaluate", run, "--json"))
    assert newest["step"] == 300
    assert set(newest["evaluators"]) == {"train", "icl", "ciwl", "flip", "iwl"}
    assert newest["evaluators"]["icl"]["loss"] == last_row(run)["icl/loss"]
    earlier = json.loads(call("transformer", "evaluate", run, "--json", "--step", 50))
    assert earlier["step"] == 50 and earlier != newest
    assert "[50, 100" in call("transformer", "evaluate", run, "--step", 7, expect=2)


def test_curves_are_exported(call, run, tmp_path):
    out = tmp_path / "curves.csv"
    assert str(out) in call("transformer", "export", run, "--out", out)
    with open(out) as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["icl/loss"]) == pytest.approx(last_row(run)["icl/loss"], rel=1e-4)
    assert str(run) not in (tmp_path / "curves.json").read_text()
    for name in (run / "manifest.csv", tmp_path / "c.json", out / "c.csv"):
        assert str(name) in call("transformer", "export", run, "--out", name, expect=2)


def test_every_run_of_an_ensemble_has_its_own_output(call, ensemble, tmp_path):
    names = [f"init_seed={seed}" for seed in (5, 6)]
    files = {f"{name}{end}" for name in names for end in (".csv", ".json")}
    shown = call("transformer", "export", ensemble, "--out", tmp_path / "csv").splitlines()
    assert {path.name for path in (tmp_path / "csv").iterdir()} == files and len(shown) == 2
    call("transformer", "measure", ensemble, "--measures", "accuracy", "--out", tmp_path / "tables")
    assert {path.name for path in (tmp_path / "tables").iterdir()} == files
    lines = call("transformer", "evaluate", ensemble, "--json").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["path"] for row in rows] == [str(ensemble / name) for name in names]
    alone = json.loads(call("transformer", "evaluate", ensemble / names[1], "--json"))
    assert alone["evaluators"] == rows[1]["evaluators"] != rows[0]["evaluators"]
    shown = call("transformer", "evaluate", ensemble)
    assert all(f"{name}: step 50" in shown for name in names)
    pytest.importorskip("tensorboard")
    call("transformer", "tensorboard", ensemble, "--out", tmp_path / "events")
    assert {path.name for path in (tmp_path / "events").iterdir()} == {*names}


@pytest.mark.parametrize(("kind", "step"), [("checkpoints", 50), ("state", None)])
def test_damage_of_an_ensemble_is_shown_as_resume_meets_it(call, ensemble, tmp_path, kind, step):
    """Missing weights are written again; a damaged state has no other to continue from."""
    copy = shutil.copytree(ensemble, tmp_path / "both")
    file = copy / kind / "step_000000050.safetensors"
    file.unlink() if step else file.write_bytes(b"spoilt")
    assert file.name in call("transformer", "show", copy)
    rows = [json.loads(line) for line in call("transformer", "show", copy, "--json").splitlines()]
    assert all(file.name in row["damaged"][0] for row in rows)
    assert [row["resumes_from"] for row in rows] == [step] * 2
    if step:
        call("transformer", "resume", copy)
        assert file.exists() and "damaged" not in call("transformer", "show", copy)
    else:
        assert file.name in call("transformer", "resume", copy, "--n-steps", 60, expect=1)


@pytest.mark.parametrize("flags", [("export",), ("measure", "--measures", "accuracy")])
def test_only_files_of_the_same_run_are_replaced(call, run, ensemble, tmp_path, flags):
    """And a name that ends in .csv is no folder for the files of an ensemble."""
    out = tmp_path / "a.csv"

    def write(source, out=out, **keywords):
        command, *others = flags
        return call("transformer", command, source, *others, "--out", out, **keywords)

    write(run)
    write(run)
    before = out.read_bytes()
    assert str(out) in write(ensemble / "init_seed=6", expect=2)
    assert "2 runs" in write(ensemble, expect=2)
    out.with_suffix(".json").unlink()
    assert str(out) in write(run, expect=2)
    assert out.read_bytes() == before
    assert "run's own folder" in write(run, out=run / "checkpoints" / "a.csv", expect=2)
    out = tmp_path / "new.csv"
    assert "2 runs" in write(ensemble, out, expect=2) and not out.exists()


def test_a_fit_wants_one_run_with_enough_points(call, run, ensemble):
    assert "7 samples" in call("coopetition", "fit", run, "--json", expect=2)
    assert "init_seed=5, init_seed=6" in call("coopetition", "fit", ensemble, expect=2)


def test_a_folder_that_is_no_run_is_refused(call, tmp_path, run):
    for command in ("resume", "show", "evaluate"):
        for folder in (tmp_path, run.parent, tmp_path / "x", __file__):
            assert str(folder) in call("transformer", command, folder, expect=2)
    assert "resume it" in call("transformer", "train", "--out", run, expect=2)
    inside = run / "in" / "side"
    assert str(run) in call("transformer", "train", "--out", inside, expect=2)
    assert not inside.parent.exists()


def test_of_many_runs_some_are_named_those_of_ensembles_too(call, tmp_path):
    for name in ("a", "b/1", "b/2", "c", "d", "e", "f"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").touch()
    assert call("transformer", "show", tmp_path, expect=2).endswith("a, b/1, b/2, c, d and 2 more")


@pytest.mark.parametrize(
    ("manifest", "named"),
    [
        ('{"format": 3, "run', "damaged"),
        ('{"format": 3}', "'config'"),
        ('{"format": 99, "versions": {"coopetition": "9.9"}}', "9.9"),
    ],
)
def test_a_damaged_manifest_is_reported_in_one_line(call, tmp_path, manifest, named):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(manifest)
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    if "config" not in named:  # the theory needs none
        assert named in call("coopetition", "fit", tmp_path / "run", expect=1)
    out = ("--out", tmp_path / "x.csv")
    for command, *more in (("show",), ("evaluate",), ("resume",), ("export", *out)):
        assert named in call("transformer", command, tmp_path / "run", *more, expect=1)
    row = json.loads(call("transformer", "ls", tmp_path, "--json"))
    assert row["status"] == "unreadable" and named in row["message"]


def test_a_run_that_needs_a_plugin_is_named_as_such(call, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "runs" / "run")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["config"]["data"]["exemplars"]["kind"] = "MyExemplars"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    row = json.loads(call("transformer", "ls", tmp_path / "runs", "--json"))
    assert row["status"] == "needs a plugin" and "MyExemplars" in row["message"]
    out = ("--out", tmp_path / "x.csv")
    for command, *more in (("show",), ("evaluate",), ("resume",), ("export", *out)):
        assert "--plugin" in call("transformer", command, copy, *more, expect=2)


def test_missing_metrics_and_checkpoints_are_reported(call, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert "no sound checkpoint" in call("transformer", "evaluate", copy, expect=1)
    shutil.rmtree(copy / "checkpoints")
    assert "it has none" in call("transformer", "evaluate", copy, "--step", 7, expect=2)
    (copy / "metrics.jsonl").unlink()
    error = call("transformer", "export", copy, "--out", tmp_path / "x.csv", expect=1)
    assert "metrics.jsonl" in error
