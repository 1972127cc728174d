"""What every test shares: the folder of reference pictures when this checkout has one beside it."""
import os

# Runs in this process are compared bit for bit with runs of commands: all must add up in the same order, so with the
# same number of threads, whatever a library sets in this process meanwhile.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Paddle is what the pictures are defined by; test_engines.py compares the other engines with it.
os.environ.setdefault("PPGAN_APPS_ENGINE", "paddle")

# isort: split
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with portraits, photos and avatars; a user's clone has none, and those tests skip."""
    folder = Path(os.environ.get("PPGAN_APPS_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("needs the reference pictures (set PPGAN_APPS_SHARED to their folder)")
    return folder


@pytest.fixture(autouse=True, scope="session")
def offline():
    """No test reaches the network."""
    os.environ["PPGAN_APPS_OFFLINE"] = "1"
    yield
