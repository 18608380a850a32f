"""A fit predicts its curves at any sequences: where it was fitted, between, and beyond."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coopetition as co

ONE_START = {"n_screened": 16, "n_starts": 1, "max_iterations": 3}


@pytest.fixture(scope="module", params=co.theories())
def fitted(race, request):
    """A rough fit of each theory; the predictions are those of its parameters, good or not."""
    return co.fit(race, request.param, **ONE_START)


def test_the_fitted_curves_are_predicted_at_the_samples(fitted):
    for curve, each in fitted.curves.items():
        predicted = fitted.predict(each.sequences)[curve]
        np.testing.assert_allclose(predicted, each.fitted, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=10)
@given(x=st.lists(st.floats(0, 5e6), min_size=1, max_size=4))
def test_predictions_depend_neither_on_order_nor_on_company(fitted, x):
    together = fitted.predict([x, x[::-1]])
    alone = [fitted.predict(each) for each in x]
    for curve in fitted.curves:
        assert together[curve].shape == (2, len(x))
        np.testing.assert_array_equal(together[curve][0], together[curve][1][::-1])
        one_by_one = [each[curve] for each in alone]
        np.testing.assert_allclose(one_by_one, together[curve][0], rtol=1e-6, atol=1e-9)


def test_beyond_the_data_the_theory_goes_on(race_fit):
    """As a theory whose formula is known: CIWL's error in `logistic_race` falls to 0."""
    far = race_fit.predict(90e6)["ciwl"]
    assert far.shape == () and far == pytest.approx(race_fit.levels["ciwl"][0], abs=1e-6)


def test_accuracies_are_predicted_as_accuracies(race):
    accuracies = {name: 1 - values / 3 for name, values in race.values.items()}
    curves = replace(race, values=accuracies, metric="accuracy")
    fitted = co.fit(curves, "logistic_race", **ONE_START)
    predicted = fitted.predict(race.sequences)["icl"]
    np.testing.assert_allclose(predicted, fitted.curves["icl"].fitted, rtol=1e-9)


def test_runs_have_names_and_starts_of_their_own(race):
    late = replace(race.between(2e5), source="late")
    fitted = co.fit([replace(race, source="whole"), late], "logistic_race", **ONE_START)
    predicted = fitted.predict([0.0, 1e5, 5e5, 2e6])
    assert predicted.keys() == fitted.curves.keys() and "late/icl" in predicted
    assert np.isnan(predicted["late/icl"]).tolist() == [True, True, False, False]
    assert np.isfinite(predicted["whole/icl"]).all()


@pytest.mark.parametrize("wrong", [[1e5, np.nan], [np.inf], 1.1e8, "abc", [None]])
def test_other_sequences_are_refused(race_fit, wrong):
    with pytest.raises(co.UsageError, match="sequences"):
        race_fit.predict(wrong)


def test_no_sequences_give_no_values(race_fit):
    assert race_fit.predict([])["icl"].shape == (0,)
