"""The script of a document: the one most of its letters are in, and its share of them."""

import numpy as np
import pyarrow as pa

from pipelines.annotate.kernels.scripts import choose_main_scripts, count_scripts, load_scripts
from pipelines.kernels.buffers import get_text_buffers


def compute_script_columns(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """`script` (ISO 15924) and `script_share` (0 to 1) of a batch; ("Zyyy", 0) without letters."""
    places, shares = choose_main_scripts(count_scripts(*get_text_buffers(text)))
    names = np.array(load_scripts().codes, object)[places]
    return pa.array(names, pa.string()), pa.array(shares, pa.float32())
