"""Compile the kernels before a run needs them: once on a machine, or while an image of workers is built.

Numba compiles at first use, which takes a minute; what it made lies in the folder of `gristmill.kernel_cache`, and later
processes only load it.
"""

import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding
import numpy as np
import pyarrow as pa

from gristmill.kernel_cache import kernel_files, kernels_digest
from gristmill.progress import say
from pipelines.annotate.extract.normalize import normalize_column
from pipelines.annotate.kernels import fasttext
from pipelines.annotate.kernels import word_lists as listed
from pipelines.annotate.signals.language import compute_language_columns, load_identifier
from pipelines.annotate.signals.script import compute_script_columns
from pipelines.annotate.signals.table import compute_signal_columns, hash_lines
from pipelines.decide.dedup import repeated
from pipelines.decide.dedup.components import assign_component_ids
from pipelines.decide.dedup.hash_list import HashList
from pipelines.engine.packed_rows import sort_rows
from pipelines.final_text import final_texts
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.line_hashes import fold_texts
from pipelines.tokenizer.encoder import CompiledEncoder
from pipelines.tokenizer.encoding_tables import BPE, UNIGRAM, compile_model, tiny_model

SAMPLES = (
    (
        "en",
        "The old mill, 2,000 years old, stood by the river. Write to miller@example.org or +44 20 7946 0958!\n"
        * 3,
    ),
    ("zh", "这座老磨坊在河边，多年来没有人打开过它的门。"),
    ("th", "โรงสีเก่าตั้งอยู่ริมแม่น้ำ"),
    ("und", "zq"),
)
"""A language and a text for every way a document may take through the kernels."""


def is_compiled() -> bool:
    """Whether all kernels, as they are now, were compiled for this processor."""
    return _mark().exists()


def _mark() -> Path:
    """The file that says so: numba's folder may serve other versions and, in a shared home, other processors too."""
    digest = kernels_digest(kernel_files(Path(__file__).parent.parent))
    made_for = (
        f"{llvmlite.binding.get_host_cpu_name()}-numba{version('numba')}-py{sys.hexversion:x}"
    )
    return Path(os.environ["NUMBA_CACHE_DIR"]) / f"compiled-{digest}-{made_for}"


def compile_all() -> float:
    """Compile what is not compiled yet, by using every kernel once; returns the seconds it took."""
    started = time.monotonic()
    text = normalize_column(pa.array([text for _, text in SAMPLES]))
    compute_language_columns(text)
    compute_script_columns(text)
    compute_signal_columns(text, pa.array([lang for lang, _ in SAMPLES]))
    listed.measure_listed_shares(*get_text_buffers(text), listed.build_word_automaton(["mill"]))
    model, (data, offsets) = load_identifier(), get_text_buffers(text)
    out, cuts = np.empty(len(text), np.float32), np.asarray(offsets, np.int64)
    fasttext.score_label(data, cuts, 100, model.arrays, 0, *model.path(0), model.separate, out)
    _compile_repeats(text)
    _compile_encoding(text)
    list(assign_component_ids([np.array([[1, 0]])], [2]))
    _mark().touch()
    return time.monotonic() - started


def _compile_repeats(text: pa.Array) -> None:
    """Use what `decide` finds repeated text with: two copies of the texts, so that there is some."""
    twice, span = pa.concat_arrays([text, text]), 4
    batch = pa.RecordBatch.from_arrays(
        [twice, hash_lines(fold_texts(*get_text_buffers(twice)))], ["text", "line_hashes"]
    )
    units, nothing = repeated.locate_units(batch), HashList((np.zeros(0, np.uint64),))
    hashes = HashList(
        (np.sort(repeated.make_fingerprint_rows(batch, span)[:, 0]).astype(np.uint64),)
    )
    runs = repeated.make_run_rows(
        batch, span, hashes, np.zeros((len(twice), 3), np.int64), np.arange(len(twice))
    )
    places = np.concatenate(
        list(repeated.select_later_places([sort_rows(np.concatenate(list(runs)))]))
    )
    words = repeated.merge_covered_words(sort_rows(places), span)
    repeated.compute_cuts(batch, repeated.assign_line_reasons(units, nothing, 0), units, words)


def _compile_encoding(text: pa.Array) -> None:
    """Use what `pack` cuts, masks and encodes with: models of a few pieces, by which every text has unknown characters."""
    spans = pa.array(
        [[{"start": 0, "end": 3}]] * len(text),
        pa.list_(pa.struct({"start": pa.uint32(), "end": pa.uint32()})),
    )
    texts = final_texts(pa.table({"text": text, "cuts": spans}), mask=False)
    for model_type in (BPE, UNIGRAM):
        if tables := compile_model(tiny_model(model_type)):
            CompiledEncoder(tables, str).encode(texts)


def compile_first(step: str) -> None:
    """Where kernels are not compiled, say so and compile them in a process of its own, which then gives its memory back."""
    if is_compiled():
        return
    say(f"{step}  compiling kernels, once on this machine: about a minute")
    # Should it fail, on a full disk for one, the run compiles what it uses and tells what is wrong itself.
    subprocess.run(
        [sys.executable, "-m", "pipelines.compiling"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    compile_all()
