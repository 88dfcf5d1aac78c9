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
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for base in (home, Path(tempfile.gettempdir())):
        place = base / name
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(place, os.W_OK):
            return place
    return Path(tempfile.mkdtemp(prefix=name))


if "numba" not in sys.modules:
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))
