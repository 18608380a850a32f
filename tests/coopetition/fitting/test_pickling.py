"""Results are pickled, saved and loaded, with every theory of the registry."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition.fitting.curves import Curves
from coopetition.fitting.estimate import fit
from coopetition.fitting.forecast import Forecast, forecast
from coopetition.fitting.intervals import Profile, profile
from coopetition.fitting.posterior import Posterior
from coopetition.fitting.registry import theories, theory_of
from coopetition.fitting.result import Fit, FittedResult
from coopetition.fitting.selection import Comparison, compare
from coopetition.tools.errors import UsageError
from coopetition.tools.files import to_json
from coopetition.tools.results import JsonResult

KINDS = (Curves, Fit, Profile, Posterior, Forecast, Comparison)
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


@pytest.fixture(scope="module")
def results(race, race_fit, race_posterior, fits):
    """A result of every kind that is saved as JSON."""
    names = ("logistic_race", "spline")
    return [
        race,
        *fits.values(),
        profile(race_fit, "loss", n=1),
        replace(profile(race_fit, "loss", n=1), rise=np.array([np.nan, 0.0])),
        race_posterior,
        forecast(race_posterior, 2 * race.sequences[-1]),
        compare(race, names, **QUICK),
        Comparison((race_fit, race_fit), (race_posterior, race_posterior)),
    ]


def test_every_result_is_pickled_saved_and_loaded_to_the_same_bytes(results, tmp_path):
    assert {type(each) for each in results} == {*KINDS}
    every = {*JsonResult.__subclasses__(), *FittedResult.__subclasses__()} - {FittedResult}
    assert {each.kind for each in KINDS} == {each.kind for each in every}
    for each in results:
        assert_is_kept(each, tmp_path)


def assert_is_kept(result, folder):
    """Pickled, or saved and loaded, a result has the same bytes and the same report."""
    result.save(folder / "saved.json")
    saved = (folder / "saved.json").read_bytes()
    again = type(result).load(folder / "saved.json")
    for each in (again, pickle.loads(pickle.dumps(result)), pickle.loads(pickle.dumps(again))):
        each.save(str(folder / "again.json"))  # a text as well as a path
        assert (folder / "again.json").read_bytes() == saved
        assert each.summary() == result.summary() and repr(each) == repr(result)


NUMBERS = st.lists(st.floats(width=64), min_size=2, max_size=6)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)


@settings(deadline=None, max_examples=50)
@given(NUMBERS, st.dictionaries(TEXTS, NUMBERS), TEXTS, st.lists(TEXTS, max_size=2))
def test_curves_of_any_numbers_and_names_are_kept(sequences, values, source, notes):
    """Infinite samples become missing ones."""
    values = {name: np.resize(each, len(sequences)) for name, each in values.items()}
    std = dict(list(values.items())[:1])
    curves = Curves(sequences, values, source, std=std, notes=notes, cautions=notes)
    with TemporaryDirectory() as folder:
        curves.save(Path(folder, "saved.json"))
        assert_is_kept(Curves.load(Path(folder, "saved.json")), Path(folder))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_refused_in_one_line(kind, results, tmp_path):
    """Also one that is damaged, and a folder."""
    contents = ["", "\0", "[]", "{}", "3", "[" * 100_000, '{"fits": []}', '{"fits": 3}']
    contents += [to_json(each.to_saved()) for each in results if type(each) is not kind]
    contents += [to_json(each.to_saved())[:-9] for each in results]
    for content in contents:
        (tmp_path / "some.json").write_text(content)
        with pytest.raises(UsageError, match=r"some\.json") as caught:
            kind.load(tmp_path / "some.json")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    with pytest.raises(UsageError, match="folder"):
        kind.load(tmp_path)


def test_a_comparison_of_unregistered_theories_is_loaded_with_them(race, tmp_path):
    own = replace(theory_of("logistic_race"), name="own")
    compare(race, [own, "spline"], **QUICK).save(tmp_path / "saved.json")
    again = Comparison.load(tmp_path / "saved.json", own)
    assert {each.theory for each in again.fits} == {"own", "spline"}
    with pytest.raises(UsageError, match=r"saved\.json.*own"):
        Comparison.load(tmp_path / "saved.json")
