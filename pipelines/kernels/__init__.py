"""Numba kernels over Arrow buffers.

Importing this package chooses the folder of the compiled code.
"""

from gristmill.kernel_cache import choose_cache

choose_cache()
