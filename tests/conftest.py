"""Settings shared by all tests."""

import os
from pathlib import Path

# One thread each: two test processes with two spinning threads each would stand in their own way.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, print_blob=True, max_examples=50)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True, max_examples=50)
settings.register_profile("nightly", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)

SHARED = Path(__file__).resolve().parents[2] / "shared"
REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture
def omniglot_archive() -> Path:
    """The user's copy of Omniglot; tests that need it are skipped without."""
    path = SHARED / "data" / "omniglot.npz"
    if not path.exists():
        pytest.skip(f"no Omniglot archive at {path}")
    return path
