"""The script of a document: the one most of its letters are in, and its share of them."""

import numpy as np
import pyarrow as pa

from pipelines.annotate.kernels.scripts import main_scripts, script_counts, scripts
from pipelines.kernels.buffers import text_buffers


def compute_script_columns(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """`script` (ISO 15924) and `script_share` (0 to 1) of a batch; ("Zyyy", 0) without letters."""
    places, shares = main_scripts(script_counts(*text_buffers(text)))
    names = np.array(scripts().codes, object)[places]
    return pa.array(names, pa.string()), pa.array(shares, pa.float32())
