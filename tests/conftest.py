"""What every room's tests share: the two profiles of property tests, the repository, real data."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a job in a shell's background; children would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent

# A commit waits for the disk, and neighbours slow the machine: how long an example takes says nothing about the code.
ANYWHERE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **ANYWHERE)
settings.register_profile("random", derandomize=False, print_blob=True, **ANYWHERE)
settings.load_profile("same")

RANDOM_FACTOR = 5
"""How many times more examples the random profile tries."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under the random profile every property test tries more examples than it says."""
    if config.getoption("--hypothesis-profile") != "random":
        return
    for item in items:
        stated = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
        if stated is not None:
            more = settings(stated, max_examples=stated.max_examples * RANDOM_FACTOR)
            item.obj._hypothesis_internal_use_settings = more


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
