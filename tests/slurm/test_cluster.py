"""What the sweep's tests build on: this Slurm runs jobs, in order, and starts them again."""

import subprocess
import time

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm"), pytest.mark.timeout(600)]


def ask(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def submit(folder, script: str, *options: str) -> str:
    (folder / "job.sh").write_text(f"#!/bin/sh\n{script}\n")
    output = f"--output={folder}/%j.out"
    return ask("sbatch", "--parsable", "--open-mode=append", output, *options, f"{folder}/job.sh")


def wait_for(job: str, *states: str, seconds: float = 300) -> str:
    end = time.monotonic() + seconds
    while (state := ask("squeue", "-h", "-t", "all", "-j", job, "-o", "%T")) not in states:
        assert time.monotonic() < end, f"job {job} is {state}, not one of {states}"
        time.sleep(0.1)
    return state


def test_dependants_wait_for_a_job_that_is_requeued(tmp_path):
    first = submit(tmp_path, "echo begun; sleep 3 && echo ended")
    second = submit(tmp_path, "echo second", f"--dependency=afterok:{first}")
    wait_for(first, "RUNNING")
    ask("scontrol", "requeue", first)
    wait_for(second, "COMPLETED")
    assert (tmp_path / f"{first}.out").read_text().split().count("ended") == 1
    assert (tmp_path / f"{first}.out").read_text().split().count("begun") == 2


def test_dependants_of_a_job_that_failed_are_cancelled(tmp_path):
    first = submit(tmp_path, "exit 3")
    options = (f"--dependency=afterok:{first}", "--kill-on-invalid-dep=yes")
    second, third = submit(tmp_path, "echo second", *options), submit(tmp_path, "echo third")
    assert wait_for(second, "CANCELLED", "COMPLETED") == "CANCELLED"
    wait_for(third, "COMPLETED")
