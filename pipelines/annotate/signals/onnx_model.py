"""An ONNX text classifier with the tokenizer that belongs to it: what it gives for each document, one at a time.

No batches: in models quantized as they run, numbers of a document depend on its neighbours (seen: by 0.003), so only a
document alone has one result; and on one thread padding costs more than batches save (docs/decisions/0010).
"""

import mmap
import os
import re
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.errors import InputError, UserError
from pipelines.annotate.config import ClassifierConfig

KINDS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}
GIVEN = ("input_ids", "attention_mask", "token_type_ids")
"""The inputs of a model that a text gives, by the names that Hugging Face's exporters use."""
EXTERNAL = re.compile(rb"\n\x08location\x12([\x80-\xff]*)([\x01-\x7f])", re.DOTALL)
"""A tensor's entry `location` in the bytes of a model (onnx.proto, StringStringEntryProto), and its value's length: a varint,
seven bits a byte, the lowest first."""
FIX = "give the tokenizer that belongs to it, no more max_tokens than it takes, and an export with dynamic axes"


class OnnxModel:
    """A session on one thread. Each caller's thread keeps its last batch's rows, for columns of other labels of the model."""

    def __init__(self, session: Any, tokenizer: Any, settings: ClassifierConfig) -> None:
        self.session, self.tokenizer, self.settings = session, tokenizer, settings
        self.outputs = 0
        self.kinds = {each.name: KINDS.get(each.type) for each in session.get_inputs()}
        names = [each.name for each in session.get_outputs()]
        self.output = "logits" if "logits" in names else names[0]
        self._here = threading.local()

    def rows(self, text: pa.Array) -> list[np.ndarray | None]:
        """float64 (outputs,) for each text, None for one without a token; raises UserError where the model fails."""
        last: tuple[pa.Array, list[np.ndarray | None]] | None = getattr(self._here, "last", None)
        if last is None or not last[0].equals(text):
            texts = pc.utf8_slice_codeunits(text, 0, self.settings.max_chars).to_pylist()
            last = self._here.last = text, [self._row(value) for value in texts]
        return last[1]

    def run(self, ids: Sequence[int], mask: Sequence[int], types: Sequence[int]) -> np.ndarray:
        """What the model gives for the tokens of one text; whatever onnxruntime raises comes through."""
        given = dict(zip(GIVEN, (ids, mask, types), strict=True))
        feeds = {name: np.array([given[name]], kind) for name, kind in self.kinds.items()}
        return np.asarray(self.session.run([self.output], feeds)[0])

    def _row(self, text: str) -> np.ndarray | None:
        tokens = self.tokenizer.encode(text)
        if not tokens.ids:
            return None
        try:
            return (
                self.run(tokens.ids, tokens.attention_mask, tokens.type_ids)
                .reshape(-1)
                .astype(np.float64)
            )
        except Exception as error:  # the errors of onnxruntime have no class in common
            where = {
                "file": self.settings.model,
                "tokens": len(tokens.ids),
                "problem": _first_line(error),
            }
            raise UserError("an ONNX model failed on a document", where, FIX) from None


def find_tokenizer(settings: ClassifierConfig) -> str:
    """The tokenizer's file: the one that is named, else the one beside the model."""
    return settings.tokenizer or str(Path(settings.model).with_name("tokenizer.json"))


def list_model_files(settings: ClassifierConfig) -> list[str]:
    """The model, the files its weights lie in where they are apart, and the tokenizer."""
    return [settings.model, *_list_external_files(settings.model), find_tokenizer(settings)]


def _list_external_files(path: str) -> list[str]:
    """Files beside a model that hold its weights (large models, PyTorch's exporter); none where it cannot be read."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            names = {
                raw[found.end() : found.end() + _parse_varint(found[1] + found[2])]
                for found in EXTERNAL.finditer(raw)
            }
    except (OSError, ValueError):  # not there, or empty: said where it is hashed or opened
        return []
    return sorted(str(Path(path).with_name("x").parent / os.fsdecode(name)) for name in names)


def _parse_varint(raw: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(raw))


def open_model(settings: ClassifierConfig) -> OnnxModel:
    """The model of these settings, from memory where another label has it open; raises as `read_model`."""
    apart = settings.model_copy(update={"label": None, "output": "score", "languages": ()})
    return read_once(apart, tuple(os.stat(path).st_mtime_ns for path in list_model_files(settings)))


@lru_cache(maxsize=4)
def read_once(settings: ClassifierConfig, changed: tuple[int, ...]) -> OnnxModel:
    """A model, in memory once for all of its labels that have a column."""
    return read_model(settings)


def read_model(settings: ClassifierConfig) -> OnnxModel:
    """Open model and tokenizer; raises InputError for what is broken, or does not fit together."""
    model = OnnxModel(_open_session(settings.model), _load_tokenizer(settings), settings)
    if unknown := sorted(
        name for name, kind in model.kinds.items() if name not in GIVEN or kind is None
    ):
        where = {"file": settings.model, "input": ", ".join(unknown)}
        raise InputError(
            "an ONNX model wants what a text does not give",
            where,
            f"its inputs may be {', '.join(GIVEN)}",
        )
    model.outputs = _try_out(model)
    return model


def _open_session(path: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.enable_mem_pattern = (
        False  # documents differ in length: a plan of memory would be made for each length
    )
    options.log_severity_level = 4  # what fails is raised
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # the errors of onnxruntime have no class in common
        where = {"file": path, "problem": _first_line(error)}
        raise InputError(
            "this is no ONNX model that can be used", where, "give an exported .onnx file"
        ) from None


def _load_tokenizer(settings: ClassifierConfig) -> Any:
    import tokenizers

    path = find_tokenizer(settings)
    try:
        tokenizer = tokenizers.Tokenizer.from_file(path)
        tokenizer.no_padding()
        tokenizer.enable_truncation(settings.max_tokens)
    except Exception as error:  # tokenizers raises bare exceptions
        where = {"file": path, "problem": _first_line(error)}
        raise InputError(
            "this is no tokenizer that can be used",
            where,
            "give the tokenizer.json that belongs to the model",
        ) from None
    return tokenizer


def _try_out(model: OnnxModel) -> int:
    """How many outputs there are, by the last token of the vocabulary, once and as often as a document may have tokens."""
    last = max(model.tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    where: dict[str, object] = {
        "file": model.settings.model,
        "tokenizer": find_tokenizer(model.settings),
    }
    for tokens in (1, model.settings.max_tokens):
        try:
            shape = model.run([last] * tokens, [1] * tokens, [0] * tokens).shape
        except Exception as error:  # the errors of onnxruntime have no class in common
            where |= {"tokens": tokens, "last token": last, "problem": _first_line(error)}
            raise InputError(
                "an ONNX model cannot take what its tokenizer gives", where, FIX
            ) from None
        if len(shape) not in (1, 2) or shape[0] != 1:
            where["shape of its output"] = shape
            raise InputError(
                "an ONNX model gives no number for each label of a text",
                where,
                "give a text classifier",
            )
    return int(shape[-1])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
