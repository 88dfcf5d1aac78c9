"""Where a package of others lies whose data we read, and whose code we never import."""

import importlib.util
from pathlib import Path


def package_folder(name: str) -> Path:
    """The folder of an installed package, a dependency of this one; nothing of it is run."""
    spec = importlib.util.find_spec(name)
    assert spec, f"{name} is a dependency of this package"
    assert spec.submodule_search_locations, f"{name} is a package"
    return Path(spec.submodule_search_locations[0])
