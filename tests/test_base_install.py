"""Core and pipelines import with the base dependencies alone: what a Beam worker has."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

MODULES = """
import importlib, pkgutil, sys
for package in ("gristmill", "pipelines"):
    module = importlib.import_module(package)
    for found in pkgutil.walk_packages(module.__path__, package + "."):
        importlib.import_module(found.name)
"""


def closure(name: str, extras: set[str], seen: set[str]) -> set[str]:
    """All distributions that installing `name` with `extras` brings."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return seen
    try:
        requires = distribution(name).requires or []
    except PackageNotFoundError:
        return seen
    seen.add(key)
    for text in requires:
        requirement = Requirement(text)
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}
        ):
            closure(requirement.name, requirement.extras, seen)
    return seen


def test_core_and_pipelines_import_when_only_the_base_dependencies_can_be_imported() -> None:
    base = closure("gristmill", set(), set())
    assert {"apache-beam", "pyarrow", "sentencepiece"} <= base
    assert not {"torch", "scrapy", "transformers", "datasets"} & base
    owners = packages_distributions()
    barred = sorted(
        module
        for module, names in owners.items()
        if not any(re.sub(r"[-_.]+", "-", name).lower() in base for name in names)
        and module not in ("pip", "setuptools")
    )
    assert "torch" in barred
    block = f"""
import sys
class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {set(barred)!r}:
            raise ModuleNotFoundError(name, name=name.split(".")[0])
sys.meta_path.insert(0, Barred())
"""
    done = subprocess.run([sys.executable, "-c", block + MODULES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_a_base_only_environment_imports_every_module_of_core_and_pipelines(
    tmp_path: Path, repository: Path
) -> None:
    """The real thing: a new virtual environment, the base dependencies, nothing else."""
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet"]
    subprocess.run(
        [*pip, "--constraint", str(repository / "constraints.txt"), str(repository)], check=True
    )
    done = subprocess.run(
        [str(place / "bin/python"), "-c", MODULES], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_wheel_ships_the_six_packages_and_nothing_else(
    tmp_path: Path, repository: Path
) -> None:
    import zipfile

    build = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(tmp_path),
    ]
    subprocess.run(build, check=True, cwd=repository, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    roots = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert roots == {"gristmill", "crawlers", "pipelines", "training", "bias_audit", "reports"}
    assert any(name.endswith("presets.toml") for name in names)
    assert any(name.endswith("stop_words.toml") for name in names)
