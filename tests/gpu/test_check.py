"""The check of the GPU path, tried on the CPU."""

import json

import pytest
import torch

from tests.gpu import check


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_check_passes_on_a_cpu(tmp_path, capsys):
    out = tmp_path / "check.json"
    assert check.main(["--device", "cpu", "--quick", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert {row["status"] for row in report["rows"]} == {"passed"}
    assert {row["section"] for row in report["rows"]} == {"agrees", "resume", "alone", "speed"}
    assert report["machine"]["torch"] == torch.__version__


def rows_of(*checks, minutes=1.0):
    planned = [(check.Row("speed", str(k)), each) for k, each in enumerate(checks)]
    return [row.status for row in check.run_checks(planned, minutes)]


def test_a_failed_row_does_not_stop_the_others():
    def fails():
        raise AssertionError("it differs")

    def fills_the_memory():
        raise torch.OutOfMemoryError("too much")

    def breaks():
        raise RuntimeError("CUDA error")

    found = rows_of(dict, fails, fills_the_memory, breaks, dict)
    assert found == ["passed", "failed", "does not fit", "failed", "passed"]


def test_rows_for_which_there_is_no_time_are_not_run():
    assert rows_of(dict, dict, minutes=-1.0) == ["not run", "not run"]


def test_parameters_that_do_not_move_fail(tmp_path, monkeypatch):
    context = check.Context("cpu", check.QUICK, tmp_path, ("eager",))
    monkeypatch.setattr(check.Ensemble, "advance", lambda self: None)
    with pytest.raises(AssertionError, match="moved"):
        check.trained(context, "cpu", "eager", check.base(check.QUICK))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_the_device_there_is_one_line():
    with pytest.raises(check.UserError, match="cuda"):
        check.main([])
