"""Short names for NumPy arrays of each element type, for the signatures of kernels.

Numba reads no annotation: they are for readers and for mypy. All arrays are one-dimensional and
contiguous unless a docstring states a shape.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
UInt16s = npt.NDArray[np.uint16]
UInt32s = npt.NDArray[np.uint32]
UInt64s = npt.NDArray[np.uint64]
Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

Integers = npt.NDArray[np.integer[Any]]
"""Any integers: numba compiles such a kernel once for each element type."""
