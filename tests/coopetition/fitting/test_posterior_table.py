"""A posterior is shown in natural units: as a table, a summary and a corner plot."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

import coopetition as co
from coopetition.fitting.posterior import r_hat_of
from coopetition.plot.fits import plot_corner
from coopetition.tools.files import REPORT_WIDTH


@pytest.fixture(scope="module")
def posterior(race_fit):
    return co.sample_posterior(race_fit, n=200)


def test_a_row_is_a_sample_in_natural_units(posterior, race_fit, truth):
    frame = posterior.to_frame()
    assert len(frame) == 200 and [*frame][: len(truth)] == [*race_fit.parameters]
    for name, value in truth.items():
        assert frame[name].mean() == pytest.approx(value, rel=0.05), "times are in sequences"
    for kinds, drawn in (
        (("floor", "gain"), posterior.levels),
        (("sigma", "rho"), posterior.noise),
    ):
        for name, pairs in drawn.items():
            for k, kind in enumerate(kinds):
                np.testing.assert_array_equal(frame[f"{kind}_{name}"], pairs[:, k])


def test_names_of_several_runs_begin_with_the_run():
    times = (6e5, 7e5)
    truth = dict(icl_at=2e5, icl_width=5e4, ciwl_at=6e5, ciwl_width=1e5, loss=0.8)
    runs = [co.simulate("logistic_race", truth | {"ciwl_at": t}) for t in times]
    fixed = {"icl_at": 2e5, "icl_width": 5e4, "ciwl_width": 1e5}
    fit = co.fit(runs, "logistic_race", shared=["loss"], fixed=fixed, n_screened=64, n_starts=2)
    columns = co.sample_posterior(fit, n=20, max_calls=1).columns()
    second = [name for name in fit.parameters if name.endswith("/ciwl_at")][1].partition("/")[0]
    assert {"loss", f"{second}/ciwl_at", f"{second}/floor_icl"} <= {*columns}
    assert np.median(columns[f"{second}/ciwl_at"]) == pytest.approx(7e5, rel=0.05)


def test_the_summary_has_credible_intervals_of_every_column(posterior):
    lines = posterior.summary().splitlines()
    assert "credible interval" in posterior.summary() and max(map(len, lines)) <= REPORT_WIDTH
    assert lines[0].startswith("CAUTION") is not posterior.converged
    for name, values in posterior.columns().items():
        (cells,) = [line.split()[1:4] for line in lines if line.split()[:1] == [name]]
        expected = np.quantile(values, (0.5, 0.05, 0.95))
        np.testing.assert_allclose([float(x) for x in cells], expected, rtol=1e-3)
    assert posterior._repr_html_().startswith("<pre>") and "logistic_race" in repr(posterior)


def test_a_sample_that_has_not_converged_says_why_in_its_first_line(posterior):
    poor = replace(posterior, effective_sample_size=390.0)
    first_line = poor.summary().splitlines()[0]
    assert not poor.converged and first_line.startswith("CAUTION")
    assert "not converged" in first_line and "not converged" in repr(poor)


def test_a_corner_plot_shows_every_pair_once(posterior):
    names = ("icl_at", "floor_icl", "loss")
    figure = plot_corner(posterior, names, figure=Figure())
    columns, axes = posterior.columns(), np.array(figure.axes).reshape(3, 3)
    for (row, column), ax in np.ndenumerate(axes):
        assert ax.get_visible() == (row >= column)
        if row > column:
            x, y = ax.get_lines()[0].get_data()
            np.testing.assert_array_equal(x, columns[names[column]])
            np.testing.assert_array_equal(y, columns[names[row]])
        elif row == column:
            assert sum(patch.get_height() for patch in ax.patches) == len(columns["loss"])
    assert [ax.get_xlabel() for ax in axes[-1]] == [*names]
    assert [ax.get_ylabel() for ax in axes[1:, 0]] == [*names[1:]]


def test_by_default_the_free_parameters_are_drawn(posterior, truth, monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.figure", lambda **_: Figure())
    assert len(posterior.plot().axes) == len(truth) ** 2
    with pytest.raises(co.UsageError, match="floor_x.*floor_icl"):
        posterior.plot("floor_x")


def test_chains_of_one_value_each_have_not_converged():
    assert r_hat_of(np.repeat([[[0.1]], [[0.2]]], 10, axis=1)) == np.inf
