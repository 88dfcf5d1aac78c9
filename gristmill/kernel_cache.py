"""Where numba keeps compiled kernels: a folder of their own, named by the hash of all their
sources.

Numba's cache does not notice edits of a function that a cached one calls in another file, and fails
without a home folder. A room with kernels calls `choose_cache` in its package's `__init__`, before
numba is imported. Numba has one folder in a process, so its name stands for the kernels of every
room: whichever room comes first, no old code is run.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

KERNELS = ("pipelines/**/kernels/*.py", "bias_audit/matcher.py")
"""Every file that numba compiles, from the folder in which the rooms lie."""


def choose_cache() -> None:
    """Let numba cache in the folder of these kernels; without effect where numba was imported
    already.
    """
    if "numba" not in sys.modules:
        os.environ.setdefault(
            "NUMBA_CACHE_DIR", str(cache_folder(kernel_files(Path(__file__).parent.parent)))
        )


def kernel_files(root: Path) -> list[Path]:
    """The files below `root` that numba compiles, in order; a room that is not
    installed has none.
    """
    return [path for pattern in KERNELS for path in sorted(root.glob(pattern))]


def kernels_digest(sources: list[Path]) -> str:
    """The first 12 hex digits of the SHA-256 of all sources."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def cache_folder(sources: list[Path]) -> Path:
    """A writable folder of ours named by the sources' hash: below the home, else below the
    temporary folder.
    """
    name = f"gristmill-kernels-{os.getuid()}-{kernels_digest(sources)}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for base in (home, tempfile.gettempdir()):
        folder = Path(base) / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        # What lies there is run: a folder that somebody else put into a shared one will not do.
        if (
            folder.is_absolute()
            and folder.stat().st_uid == os.getuid()
            and os.access(folder, os.W_OK)
        ):
            return folder
    return Path(tempfile.mkdtemp(prefix=name))
