"""Numba kernels for duplicates and repeated text.

Importing this package chooses the folder of the compiled code.
"""

from gristmill.kernel_cache import choose_cache

choose_cache()
