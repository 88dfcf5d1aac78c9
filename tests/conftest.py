"""Fixtures that every room's tests share."""

import signal
from pathlib import Path

import pytest

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a job in a shell's background; children would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside a developer's checkout; tests that need it skip where it is absent."""
    place = REPOSITORY.parent / "shared" / "data"
    if not place.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return place
