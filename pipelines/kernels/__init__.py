"""Numba kernels over Arrow buffers. Importing this package chooses the folder of the compiled code."""

from pathlib import Path

from gristmill.compiled import choose_cache

choose_cache(Path(__file__).parent.glob("*.py"))
