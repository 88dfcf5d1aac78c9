"""Venvs of the peers: they need other versions than ours of common packages, so each has one, made once from PyPI."""

import subprocess
import sys
import venv
from pathlib import Path

HOME = Path.home() / ".cache/gristmill/peers"
PACKAGES = {
    "datatrove": [
        "datatrove[processing,io]==0.10.*",
        "spacy[ja]",
        "jieba",
        "pythainlp==5.4.0",
        "python-crfsuite",
    ],
    "dolma": ["dolma==1.2.*"],
    "rensa": ["rensa==0.5.*", "numpy", "pyarrow"],
    "text-dedup": ["text-dedup==0.4.0"],
}


def peer_python(name: str) -> Path:
    """The Python of a peer's venv, made if it is not there."""
    folder = HOME / name
    python, done, wanted = folder / "bin/python", folder / "done", "\n".join(PACKAGES[name])
    if not done.exists() or done.read_text() != wanted:
        print(f"installing {name} into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[name]], check=True)
        done.write_text(wanted)
    return python
