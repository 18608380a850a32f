"""Fates: found in curves, over parameters, and predicted."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from coopetition import descend, two_strategies
from coopetition.dynamics.events import FATES, Fate, classify_fates
from coopetition.model.presets import PUBLISHED_DIMS, no_competition, three_strategies
from coopetition.studies import phases
from coopetition.studies.phases import (
    Axis,
    PhaseDiagram,
    batch_at,
    grid_shape,
    phase_diagram,
    predicted_diagram,
)
from coopetition.tools.errors import UsageError


def test_fates_are_found_in_curves():
    high, low = 1.0, 0.1
    cases = {
        Fate.NEVER: ([high, high, high], [high, high, high]),
        Fate.ICL_PERSISTENT: ([high, low, low], [high, low, high]),
        Fate.ICL_TRANSIENT: ([high, low, high], [high, high, low]),
        Fate.CIWL_ONLY: ([high, high, high], [high, low, high]),
        Fate.COEXISTENCE: ([high, low, low], [high, high, low]),
        Fate.DIVERGED: ([high, low, np.nan], [high, high, low]),
    }
    icl, ciwl = (np.array([case[k] for case in cases.values()]).T for k in (0, 1))
    losses = {"icl": icl, "ciwl": ciwl, "total": icl * ciwl}
    found = classify_fates(losses, {"icl": 1.0, "ciwl": 1.0})
    assert [FATES[k] for k in found] == list(cases)


def test_a_third_strategy_that_is_learnt_alone_has_its_own_fate():
    high, low = np.full((3, 2), 1.0), np.full((3, 2), 0.1)
    iwl = np.array([[1.0, 1.0], [0.1, 0.1], [0.1, 1.0]])
    unlearnt = {"icl": 1.0, "ciwl": 1.0, "iwl": 1.0}
    losses = {"icl": high, "ciwl": high, "iwl": iwl, "total": low}
    found = [FATES[k] for k in classify_fates(losses, unlearnt)]
    assert found == [Fate.OTHER, Fate.NEVER], "learnt at the end, and only in between"
    found = [FATES[k] for k in classify_fates(losses | {"icl": low}, unlearnt)]
    assert found == [Fate.ICL_PERSISTENT] * 2


def assert_fates_are_those_of_single_solutions(diagram: PhaseDiagram, n_steps: int) -> set[Fate]:
    """Solve draw 1 of every point again, and return its fates."""
    fates = set()
    for (row, column), k in np.ndenumerate(diagram.fates[..., 1]):
        point = {
            diagram.x.parameter: diagram.x.values[column],
            diagram.y.parameter: diagram.y.values[row],
        }
        dims, seed = diagram.provenance["dims"], diagram.provenance["seed"]
        problems = batch_at(diagram.model, dims, diagram.fates.shape[-1], seed, point)
        single = descend(*problems.single(1), n_steps=n_steps)
        assert FATES[k] is single.fate()
        fates.add(single.fate())
    return fates


def test_lengths_may_be_of_numpys_types_and_are_checked(tmp_path):
    x, y = Axis.between("mu1", 0.0, 0.1, 1), Axis.between("mu2", 0.0, 0.1, 1)
    lengths = dict.fromkeys("abcd", np.int64(6))
    diagram = phase_diagram(two_strategies(), x, y, n_draws=1, n_steps=10, dims=lengths)
    diagram.save(tmp_path / "small.npz")
    assert PhaseDiagram.load(tmp_path / "small.npz").provenance == diagram.provenance
    for mistake in (lengths | {"a": 2.5}, [6, 6, 6, 6]):
        with pytest.raises(UsageError):
            phase_diagram(two_strategies(), x, y, n_draws=1, n_steps=10, dims=mistake)


def test_diagrams_show_where_a_third_strategy_is_learnt_alone():
    """With short factors IWL comes first, and then keeps the others away."""
    x, y = Axis.between("scale_e", 0.5, 2.0, 2), Axis.between("mu3", 0.0, 0.1, 2)
    dims = dict.fromkeys("abcde", 6)
    diagram = phase_diagram(three_strategies(), x, y, n_draws=2, n_steps=4000, dims=dims)
    assert_fates_are_those_of_single_solutions(diagram, 4000)
    assert diagram.counts()["other"] > 0 and Fate.OTHER.value in diagram.summary()


def test_diagrams_hold_the_fates_of_single_solutions_and_can_be_saved(tmp_path):
    x, y = Axis.between("alpha", 0.001, 1.0, 3, log=True), Axis.between("scale_d", 0.1, 1.0, 2)
    diagram = phase_diagram(two_strategies(), x, y, n_draws=3, n_steps=6e3, seed=3)
    assert diagram.fates.shape == (2, 3, 3)
    assert len(assert_fates_are_those_of_single_solutions(diagram, 6000)) >= 2
    diagram.save(tmp_path / "d.npz")
    again = PhaseDiagram.load(tmp_path / "d.npz")
    np.testing.assert_array_equal(again.fates, diagram.fates)
    assert (again.x.log, again.y.log) == (True, False)
    assert again.summary() == diagram.summary() and again.to_dict() == diagram.to_dict()


def test_diagrams_show_themselves_in_a_notebook():
    x, y = Axis("alpha", np.array([0.1, 0.2])), Axis("mu1", np.array([0.0, 0.1, 0.2]))
    fates = np.zeros((3, 2, 1), np.int8)
    fates[2, 1, 0] = FATES.index(Fate.COEXISTENCE)
    diagram = PhaseDiagram(two_strategies(), x, y, fates, {})
    assert "never 5, coexistence 1" in repr(diagram)
    assert Fate.COEXISTENCE.value in diagram._repr_html_() and "83.3%" in diagram._repr_html_()
    frame = diagram.to_frame()
    assert list(frame.columns) == ["alpha", "mu1", "draw", "fate"] and len(frame) == fates.size
    (row,) = frame[frame.fate == "coexistence"].values.tolist()
    assert row == [0.2, 0.2, 0, "coexistence"]
    assert diagram.plot(Figure().subplots()).get_xlabel() == "alpha"
    assert diagram == diagram and hash(diagram)


def test_mistakes_show_before_the_work_begins(monkeypatch):
    monkeypatch.setattr(phases, "descend_batch", None)
    model = two_strategies()
    x, y = Axis.between("alpha", 0.001, 1.0, 3), Axis.between("mu1", 0.0, 0.2, 2)
    renamed = tuple(replace(m, name=m.name + "s") for m in model.mechanisms)
    for wrong, axes, settings in (
        (replace(model, mechanisms=renamed), (x, y), {}),
        (model, (x, y), {"n_draws": 1.5}),
        (model, (x, y), {"n_steps": 0}),
        (model, (x, y), {"step": -1.0}),
        (model, (x, x), {}),
        (model, (x, replace(x, parameter="competition")), {}),
    ):
        with pytest.raises(UsageError):
            phase_diagram(wrong, *axes, **{"n_draws": 1} | settings)


def test_predicted_fates_are_the_simulated_ones():
    x, y = Axis.between("alpha", 0.001, 1.0, 4, log=True), Axis.between("mu1", 0.0, 0.2, 3)
    predicted = predicted_diagram(two_strategies(), x, y, seed=1)
    simulated = phase_diagram(two_strategies(), x, y, n_draws=1, seed=1)
    np.testing.assert_array_equal(predicted.fates, simulated.fates)
    assert len(np.unique(simulated.fates)) >= 3


def test_grids_have_the_requested_points_and_are_nearly_square():
    assert grid_shape(10000) == (100, 100)
    for n in range(1, 300):
        nx, ny = grid_shape(n)
        assert n <= nx * ny <= n + 10 and ny <= nx <= 2 * ny
    with pytest.raises(UsageError):
        grid_shape(0)


@pytest.mark.parametrize(
    ("model", "seed", "name"),
    [
        *((two_strategies(), 0, name) for name in ("beta", "mu3", "dim_z", "mu0")),
        (no_competition(), 0, "alpha"),
        (two_strategies(), -1, "seed"),
    ],
)
def test_parameters_that_the_model_lacks_and_wrong_seeds_are_refused(model, seed, name):
    point = {} if name == "seed" else {name: 1.0}
    with pytest.raises(UsageError, match=name):
        batch_at(model, PUBLISHED_DIMS, 2, seed, point)


def test_scales_of_all_and_of_one_factor_multiply():
    point = {"scale_d": 0.5, "initial_scale": 0.1}
    both, none = (batch_at(two_strategies(), PUBLISHED_DIMS, 3, 0, p) for p in (point, {}))
    ratio = both.orthogonal / none.orthogonal
    np.testing.assert_allclose(ratio, [[0.1] * 3] * 3 + [[0.05] * 3])


def test_axes_have_equal_differences_or_ratios():
    np.testing.assert_allclose(Axis.between("alpha", 1, 100, 3).values, [1, 50.5, 100])
    np.testing.assert_allclose(Axis.between("alpha", 1, 100, 3, log=True).values, [1, 10, 100])
    np.testing.assert_array_equal(Axis.between("dim_a", 1, 3, 5).values, [1, 2, 3])


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("alpha", [2, 1]),
        ("alpha", [1, 1]),
        ("alpha", [-1, 1]),
        ("alpha", []),
        ("alpha", [1, np.nan]),
        ("alpha", "alpha"),
        ("dim_a", [1.5, 3]),
    ],
)
def test_values_of_an_axis_are_checked(parameter, values):
    with pytest.raises(UsageError, match=parameter):
        Axis(parameter, values)


@pytest.mark.parametrize("ends", [(1.0, 0.5), (-1.0, 1.0), (0.0, np.inf), (1.5, 3)])
def test_ends_of_an_axis_are_checked(ends):
    with pytest.raises(UsageError, match="dim_a"):
        Axis.between("dim_a", *ends, 3)
    with pytest.raises(UsageError, match="alpha"):
        Axis.between("alpha", 0, 1, 3, log=True)
