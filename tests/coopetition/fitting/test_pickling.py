"""Results are pickled, saved and loaded, with every theory of the registry."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

from coopetition.fitting.estimate import fit
from coopetition.fitting.result import Fit
from coopetition.fitting.selection import compare
from coopetition.fitting.theory import theories

QUICK = {"n_screened": 4, "n_starts": 1, "max_iterations": 2}
PRINT_FITS = """
import json, pickle, sys
fits = pickle.load(open(sys.argv[1], "rb"))
found = {n: [each.to_dict(), each.problem.log_likelihood(each.theta)] for n, each in fits.items()}
print(json.dumps(found))
"""


pytestmark = pytest.mark.timeout(400)  # kernels of several theories are compiled


@pytest.fixture(scope="module")
def fits(race):
    return {name: fit(race, name, **QUICK) for name in theories()}


def test_a_fresh_process_loads_every_fit(fits, tmp_path):
    path = tmp_path / "fits.pickle"
    path.write_bytes(pickle.dumps(fits))
    command = [sys.executable, "-c", PRINT_FITS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=True)
    here = {
        name: [each.to_dict(), each.problem.log_likelihood(each.theta)]
        for name, each in fits.items()
    }
    assert json.loads(done.stdout) == json.loads(json.dumps(here))


def test_a_process_pool_fits_every_theory(race, fits):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = [*pool.map(partial(fit, race, **QUICK), theories().values())]
    for each in found:
        np.testing.assert_allclose(each.theta, fits[each.theory].theta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [*theories()])
def test_a_fit_is_saved_and_loaded_to_the_same_bytes(fits, name, tmp_path):
    fits[name].save(tmp_path / "fit.json")
    Fit.load(tmp_path / "fit.json").save(tmp_path / "again.json")
    assert (tmp_path / "fit.json").read_bytes() == (tmp_path / "again.json").read_bytes()


def test_comparisons_are_pickled(race):
    found = compare(race, ["logistic_race", "spline"], **QUICK)
    assert pickle.loads(pickle.dumps(found)).rows() == found.rows()
