"""The decorators that turn a function into a numba kernel and keep its types for mypy.

A decorator of numba has no types, and so hides those of every function below it. Both decorators
release the GIL (annotate runs threads) and keep the machine code on disk. Numba finds the cache
by the file of the function itself, so a decorator in another file changes nothing.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compile_kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function when it is first called, once for each combination of argument types."""
    compiled: Callable[Arguments, Result] = njit(nogil=True, cache=True)(function)
    return compiled


def inline_kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """As `compile_kernel`, but numba copies the function into each kernel that calls it.

    For the few lines of an inner loop: LLVM inlines most calls by itself, but a call that
    returns a tuple or takes many arrays costs numba reference counts.
    """
    compiled: Callable[Arguments, Result] = njit(nogil=True, cache=True, inline="always")(function)
    return compiled
