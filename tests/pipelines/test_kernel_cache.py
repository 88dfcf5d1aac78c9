"""The folder of compiled kernels: found without a home, never somebody else's, renamed when a kernel changes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.kernel_cache import cache_folder as folder_of
from gristmill.kernel_cache import kernel_files

SHOW = "import pipelines.kernels, os; print(os.environ['NUMBA_CACHE_DIR'])"
NOBODY = "import pwd, os\ndef none(_): raise KeyError\npwd.getpwuid = none\nos.environ.pop('HOME', None)\n"


@pytest.fixture
def cache_folder(repository, tmp_path):
    """A function: the cache folder that a new interpreter with this environment chooses."""

    def choose(code=SHOW, **environment):
        clean = {
            k: v
            for k, v in os.environ.items()
            if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "TMPDIR")
        }
        env = clean | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(repository)} | environment
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=env,
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        return Path(done.stdout.strip())

    return choose


def test_the_cache_lies_below_the_home_or_where_xdg_says(cache_folder, tmp_path):
    home, other = tmp_path / "home", tmp_path / "other"
    assert cache_folder(HOME=str(home)).parent == home / ".cache"
    assert cache_folder(HOME=str(home), XDG_CACHE_HOME=str(other)).parent == other


def test_without_a_home_directory_the_cache_goes_to_the_temporary_folder(cache_folder, tmp_path):
    assert cache_folder(HOME="/dev/null").parent == tmp_path


def test_a_user_unknown_to_the_system_gets_a_cache(cache_folder, tmp_path):
    assert cache_folder(NOBODY + SHOW).parent == tmp_path


def test_a_folder_of_another_user_is_not_used(cache_folder, tmp_path):
    mine = cache_folder(HOME="/dev/null")
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(mine, 12345, -1)
    assert cache_folder(HOME="/dev/null") != mine


def test_the_folder_is_private_and_named_by_the_kernels(cache_folder, tmp_path):
    first = cache_folder(HOME="/dev/null")
    assert first == cache_folder(HOME="/dev/null")
    assert first.stat().st_mode & 0o777 == 0o700
    assert first.name.startswith(f"gristmill-kernels-{os.getuid()}-")


def test_a_folder_that_the_user_names_stays(cache_folder, tmp_path):
    assert cache_folder(NUMBA_CACHE_DIR=str(tmp_path / "mine")) == tmp_path / "mine"


def test_whichever_room_comes_first_the_folder_is_that_of_all_kernels(cache_folder):
    audit_first = cache_folder(SHOW.replace("pipelines.kernels", "bias_audit"), HOME="/dev/null")
    assert audit_first == cache_folder(SHOW, HOME="/dev/null")


def test_every_file_that_numba_compiles_names_the_folder(repository):
    rooms = [
        path.parent for path in repository.glob("*/__init__.py") if path.parent.name != "tests"
    ]
    imports = re.compile(r"^(from|import) numba\b", re.MULTILINE)
    compiled = {
        path
        for room in rooms
        for path in room.rglob("*.py")
        if imports.search(path.read_text("utf-8"))
    }
    assert len(compiled) >= 8 and compiled <= set(kernel_files(repository))


def test_an_edit_of_any_kernel_gives_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("pipelines/kernels/one.py", "pipelines/kernels/two.py", "bias_audit/matcher.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    files = kernel_files(tmp_path)
    seen = {folder_of(files)}
    for path in files:
        path.write_text("after")
        seen.add(folder_of(files))
    assert (len(files), len(seen)) == (3, 4)
