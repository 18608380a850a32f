"""The commands about runs: `show`, `ls`, `evaluate`, `export`, `tensorboard`, `resume`."""

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


def test_how_a_run_stands_is_shown(call, run):
    status = json.loads(call("transformer", "show", run, "--json"))
    assert (status["status"], status["step"]) == ("finished", 300)
    assert status["latest_checkpoint"].endswith("step_000000300.safetensors")
    row = json.loads(call("transformer", "ls", run.parent, "--json"))
    assert all(row[name] == status[name] for name in ("run_id", "status", "step", "n_steps"))


def test_an_empty_folder_has_no_runs(call, tmp_path):
    assert call("transformer", "ls", tmp_path) == f"no runs in {tmp_path}\n"


def test_a_checkpoint_is_evaluated(call, run):
    newest = json.loads(call("transformer", "evaluate", run, "--json"))
    assert newest["step"] == 300
    assert set(newest["evaluators"]) == {"train", "icl", "ciwl", "flip", "iwl"}
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][-1]
    assert newest["evaluators"]["icl"]["loss"] == last["icl/loss"]
    earlier = json.loads(call("transformer", "evaluate", run, "--json", "--step", 50))
    assert earlier["step"] == 50 and earlier != newest
    assert "[50, 100" in call("transformer", "evaluate", run, "--step", 7, expect=2)


def test_curves_are_exported(call, run, tmp_path):
    out = tmp_path / "curves.csv"
    assert call("transformer", "export", run, "--out", out).startswith(f"wrote {out} and ")
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][-1]
    with open(out) as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["icl/loss"]) == pytest.approx(last["icl/loss"], rel=1e-4)
    assert str(run) not in (tmp_path / "curves.json").read_text()
    for name, names in ((run / "manifest.csv", "own folder"), (tmp_path / "c.json", "end in .csv")):
        assert names in call("transformer", "export", run, "--out", name, expect=2)
    nowhere = out / "c.csv"
    told = call("transformer", "export", run, "--out", nowhere, expect=2)
    assert f"{nowhere} cannot be written: {out} is no folder" in told


def test_an_ensemble_is_exported_at_once(call, ensemble, tmp_path):
    said = call("transformer", "export", ensemble, "--out", tmp_path / "csv").splitlines()
    written = {path.name for path in (tmp_path / "csv").iterdir()}
    names = {"init_seed=5", "init_seed=6"}
    assert written == {f"{name}{end}" for name in names for end in (".csv", ".json")}
    assert len(said) == 2
    pytest.importorskip("tensorboard")
    call("transformer", "tensorboard", ensemble, "--out", tmp_path / "events")
    assert {path.name for path in (tmp_path / "events").iterdir()} == names


def test_too_few_points_are_not_fitted_and_one_run_is_to_be_named(call, run, ensemble):
    assert "7 samples" in call("coopetition", "fit", run, "--json", expect=2)
    error = call("coopetition", "fit", ensemble, expect=2)
    assert "name one: init_seed=5, init_seed=6" in error


def test_what_is_no_run_is_refused(call, tmp_path, run):
    for command in ("resume", "show", "evaluate"):
        assert "not a run folder" in call("transformer", command, tmp_path, expect=2)
        assert "holds runs; name one: " in call("transformer", command, run.parent, expect=2)
        assert "does not exist" in call("transformer", command, tmp_path / "x", expect=2)
        assert "is a file; name the" in call("transformer", command, __file__, expect=2)
    assert "exists already" in call("transformer", "train", "--out", run, expect=2)
    inside = run / "in" / "side"
    assert "is in the run folder" in call("transformer", "train", "--out", inside, expect=2)
    assert not inside.parent.exists()
    assert "unknown command" in call("transformer", "dance", expect=2)


def test_of_many_runs_some_are_named_those_within_ensembles_too(call, tmp_path):
    for name in ("a", "b/1", "b/2", "c", "d", "e", "f"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").touch()
    error = call("transformer", "show", tmp_path, expect=2)
    assert error.endswith("name one: a, b/1, b/2, c, d and 2 more")


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ("", "restore it"),
        ('{"format": 3, "run', "restore it"),
        ("[]", "restore it"),
        ("{}", "it lacks 'format'); restore it"),
        ('{"format": 3}', "it lacks 'config'); restore it"),
        ('{"format": 99, "versions": {"coopetition": "9.9"}}', "that wrote it (9.9)"),
    ],
)
def test_a_damaged_manifest_is_told_in_a_line(call, tmp_path, manifest, told):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(manifest)
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    if "config" not in told:  # the theory needs none
        assert told in call("coopetition", "fit", tmp_path / "run", expect=1)
    out = ("--out", tmp_path / "x.csv")
    for command, *more in (("show",), ("evaluate",), ("resume",), ("export", *out)):
        assert told in call("transformer", command, tmp_path / "run", *more, expect=1)
    row = json.loads(call("transformer", "ls", tmp_path, "--json"))
    assert row["status"] == "unreadable" and told in row["message"]


def test_a_run_that_lacks_its_metrics_or_checkpoints_is_told_so(call, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    error = call("transformer", "evaluate", tmp_path / "run", expect=1)
    assert "no sound checkpoint (checkpoint " in error and "put one back" in error
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    shutil.rmtree(tmp_path / "run" / "state")
    for command in ("evaluate", "resume"):
        told = call("transformer", command, tmp_path / "run", expect=1)
        assert "but no checkpoint to go on from; put one back, or train the run anew" in told
    error = call("transformer", "evaluate", tmp_path / "run", "--step", 7, expect=2)
    assert error.endswith("no checkpoint of step 7; it has none")
    (tmp_path / "run" / "metrics.jsonl").unlink()
    error = call("transformer", "export", tmp_path / "run", "--out", tmp_path / "x.csv", expect=1)
    assert "has no metrics; put its metrics.jsonl back" in error


def test_a_table_is_not_written_over_by_its_description(call, run, tmp_path):
    for name in ("table.json", "table.txt", "table"):
        out = tmp_path / name
        told = call("transformer", "measure", run, "--measures", "accuracy", "--out", out, expect=2)
        assert str(out) in told and ".csv" in told
        assert not out.exists()


def test_every_run_of_an_ensemble_is_evaluated_and_measured(call, ensemble, tmp_path):
    rows = [
        json.loads(row) for row in call("transformer", "evaluate", ensemble, "--json").splitlines()
    ]
    names = [f"init_seed={seed}" for seed in (5, 6)]
    assert [row["path"] for row in rows] == [str(ensemble / name) for name in names]
    alone = json.loads(call("transformer", "evaluate", ensemble / names[1], "--json"))
    assert alone["evaluators"] == rows[1]["evaluators"] != rows[0]["evaluators"]
    told = call("transformer", "evaluate", ensemble)
    assert all(f"{name}: step 50" in told for name in names)
    out = tmp_path / "tables"
    call("transformer", "measure", ensemble, "--measures", "accuracy", "--out", out)
    assert {path.name for path in out.iterdir()} == {
        f"{n}{e}" for n in names for e in (".csv", ".json")
    }
