"""The page's simulation gives the numbers, events and fates of the package."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from coopetition.explorer.settings import SLIDERS, Setting, presets, published_setting
from coopetition.model.presets import PUBLISHED_SEEDS
from tests.coopetition.explorer.node import needs_node, simulate
from tests.coopetition.explorer.test_presets import solved

pytestmark = needs_node
FACTORS = "abcd"


def random_setting(seed: int) -> Setting:
    """Return a setting with all parameters and the initial state at random."""
    rng = np.random.default_rng(seed)

    def between(name: str) -> float:
        return float(np.exp(rng.uniform(*np.log([SLIDERS[name].first, SLIDERS[name].last]))))

    published = published_setting(int(rng.choice(PUBLISHED_SEEDS)))
    return replace(
        published,
        overlap={f: float(rng.uniform(-3, 3)) for f in FACTORS},
        orthogonal={f: w * float(rng.uniform(0, 1.2)) for f, w in published.orthogonal.items()},
        alpha=between("alpha"),
        mu1=between("mu1"),
        mu2=float(rng.choice([0.0, between("mu2")])),
        step=float(rng.uniform(0.25, 4)),
    )


SETTINGS = {name: preset.setting for name, preset in presets().items()}
SETTINGS |= {
    "diverges": published_setting(7, step=100.0),
    "small steps": published_setting(7, step=0.25, mu1=0.0),
    "at rest": replace(
        published_setting(7), overlap=dict.fromkeys(FACTORS, 0.0),
        orthogonal=dict.fromkeys(FACTORS, 0.0),
    ),
}  # fmt: skip
SETTINGS |= {f"draw {k}": published_setting(k) for k in PUBLISHED_SEEDS}
SETTINGS |= {f"random {k}": random_setting(k) for k in range(12)}


@pytest.fixture(scope="module")
def runs():
    return dict(zip(SETTINGS, simulate([*SETTINGS.values()]), strict=True))


@pytest.mark.parametrize("name", SETTINGS)
def test_trajectory_events_and_fate_are_those_of_the_package(runs, name):
    run, trajectory = runs[name], solved(SETTINGS[name])
    assert (run["status"], run["n_steps"]) == (trajectory.status.name, trajectory.n_steps)
    assert run["fate"] == trajectory.fate().name
    expected = {f"overlap {f}": u for f, u in zip(FACTORS, trajectory.overlap, strict=True)}
    expected |= {f"orthogonal {f}": w for f, w in zip(FACTORS, trajectory.orthogonal, strict=True)}
    expected |= {f"losses {loss}": values for loss, values in trajectory.losses.items()}
    for title, values in expected.items():
        kind, curve = title.split()
        found = np.array(run[kind][curve], float)
        np.testing.assert_allclose(found, values, rtol=1e-9, atol=1e-14, err_msg=title)
    for event, time in asdict(trajectory.events()).items():
        assert run["events"][event] == (time and pytest.approx(time, rel=1e-9)), event
