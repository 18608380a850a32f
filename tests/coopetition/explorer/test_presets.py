"""Each preset shows, by the package's own numbers, what its name says."""

from dataclasses import replace
from pathlib import Path

import pytest

from coopetition import Fate, Trajectory, solve
from coopetition.explorer.settings import SLIDERS, Setting, presets, published_setting
from coopetition.model.presets import PUBLISHED_SEEDS

SETTINGS = {name: preset.setting for name, preset in presets().items()}


def solved(setting: Setting) -> Trajectory:
    return solve(setting.model, setting.initial_state, step=setting.step)


def emergence(setting: Setting) -> float:
    time = solved(setting).events().emergence
    assert time is not None
    return time


def solved_alone(setting: Setting) -> Trajectory:
    """Return the run without CIWL: with d = 0, clamped."""
    without = replace(
        setting,
        overlap=setting.overlap | {"d": 0.0},
        orthogonal=setting.orthogonal | {"d": 0.0},
    )
    return solve(setting.model.with_clamped("d"), without.initial_state, step=setting.step)


def emergence_alone(setting: Setting) -> float:
    time = solved_alone(setting).events().emergence
    assert time is not None
    return time


def test_the_published_preset_is_the_published_run():
    trajectory = solved(SETTINGS["published"])
    assert trajectory.n_steps == 9620
    assert trajectory.fate() is Fate.ICL_TRANSIENT


def test_icl_persists():
    trajectory = solved(SETTINGS["icl_persists"])
    assert trajectory.fate() is Fate.ICL_PERSISTENT
    assert trajectory.events().crossing is None


def test_without_competition_both_are_learnt_and_icl_stays():
    trajectory = solved(SETTINGS["no_competition"])
    assert trajectory.fate() is Fate.COEXISTENCE
    assert trajectory.events().unlearning is None


def test_ciwl_helps_icl():
    helped = SETTINGS["ciwl_helps_icl"]
    assert emergence(helped) < emergence_alone(helped) / 4
    published = SETTINGS["published"]
    assert emergence(published) > 3 * emergence_alone(published)


def test_presets_differ_from_the_published_runs_as_their_texts_say():
    assert SETTINGS["icl_persists"] == published_setting(7, mu1=0.0)
    assert SETTINGS["no_competition"] == published_setting(7, alpha=0.0)
    helped = SETTINGS["ciwl_helps_icl"]
    assert replace(helped, orthogonal=published_setting(6).orthogonal) == published_setting(6)


@pytest.mark.parametrize("draw", PUBLISHED_SEEDS)
def test_sliders_reach_the_published_draws(draw):
    setting = published_setting(draw)
    for letter, part in (("u", setting.overlap), ("w", setting.orthogonal)):
        assert all(SLIDERS[letter].first <= x <= SLIDERS[letter].last for x in part.values())


# what docs/explorer.md says of the four steps


def test_numbers_in_the_docs_are_those_of_the_presets():
    page = (Path(__file__).parents[3] / "docs" / "explorer.md").read_text()
    published, helped = SETTINGS["published"], SETTINGS["ciwl_helps_icl"]
    events = solved(published).events()
    for time in (events.emergence, events.crossing, events.unlearning):
        assert f"{time:,.0f}" in page
    assert (
        f"delays ICL by a factor of {emergence(published) / emergence_alone(published):.1f}" in page
    )
    assert f"speeds up ICL by a factor of {emergence_alone(helped) / emergence(helped):.1f}" in page


@pytest.mark.parametrize("mu1", [0.001, 0.003, 0.01])
def test_with_a_small_mu1_icl_is_still_learnt_at_the_end(mu1):
    fate = solved(replace(SETTINGS["icl_persists"], mu1=mu1)).fate()
    assert fate in (Fate.ICL_PERSISTENT, Fate.COEXISTENCE)


def test_a_larger_mu1_ends_icl_earlier():
    settings = (replace(SETTINGS["icl_persists"], mu1=mu1) for mu1 in (0.02, 0.1, 0.3, 1.0))
    times = [solved(setting).events().unlearning for setting in settings]
    assert None not in times and times == sorted(times, reverse=True)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.3, 0.5])
def test_competition_ends_icl(alpha):
    assert solved(replace(SETTINGS["no_competition"], alpha=alpha)).fate() is Fate.ICL_TRANSIENT


@pytest.mark.parametrize("alpha", [0.7, 1.0])
def test_strong_competition_prevents_icl(alpha):
    assert solved(replace(SETTINGS["no_competition"], alpha=alpha)).fate() is Fate.CIWL_ONLY


def test_a_larger_orthogonal_part_of_d_delays_icl():
    helped = SETTINGS["ciwl_helps_icl"]
    parts = (helped.orthogonal | {"d": w} for w in (0.0, 4.0, 8.0, 16.0))
    times = [emergence(replace(helped, orthogonal=part)) for part in parts]
    assert times == sorted(times) and times[-1] > 2 * times[0]
