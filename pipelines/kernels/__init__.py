"""Numba kernels over Arrow buffers. Importing this package chooses the folder of the compiled code.

Numba's cache does not notice edits of a function that a cached one calls in another file, and fails without a home
folder. So the folder is named by the hash of all kernel sources, and set before numba is imported anywhere here.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path


def _cache_folder() -> Path:
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
    name = f"gristmill-kernels-{os.getuid()}-{sources.hexdigest()[:12]}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for base in (home, tempfile.gettempdir()):
        place = Path(base) / name
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        # What lies there is run: a folder that somebody else put into a shared one will not do.
        if place.is_absolute() and place.stat().st_uid == os.getuid() and os.access(place, os.W_OK):
            return place
    return Path(tempfile.mkdtemp(prefix=name))


if "numba" not in sys.modules:
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))
