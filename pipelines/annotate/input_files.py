"""The input files of `annotate`: which files the patterns of a command name, and what to call them."""

import collections
import itertools
import os
from collections.abc import Mapping, Sequence

from gristmill.errors import InputError
from gristmill.runs import storage
from pipelines.annotate.readers.records import Split
from pipelines.annotate.readers.registry import find_input_format, list_suffixes

DATASET_FILES = ("state.json", "dataset_info.json", "dataset_dict.json")
"""What `datasets.save_to_disk` of Hugging Face writes beside the Arrow files of a data set."""

SHOWN_FILES = 5
"""How many files without a reader an error message names."""


def choose_files(patterns: Sequence[str]) -> tuple[list[storage.FileInfo], list[str]]:
    """The files that `patterns` name and that have a reader, and the names of those without one.

    In a folder or a glob a file without a reader is passed over; named itself it is an error, and
    so is a choice that leaves nothing. Raises InputError.
    """
    files: list[storage.FileInfo] = []
    passed_over: list[str] = []
    for pattern in patterns:
        matching = storage.list_files(pattern)
        not_inputs = _list_beside_arrow(matching)
        for info in matching:
            base_name = os.path.basename(info.path)
            is_named_itself = info.path == pattern
            if info.path in not_inputs and not is_named_itself:
                if base_name not in DATASET_FILES:
                    passed_over.append(base_name)
                continue
            try:
                find_input_format(info.path)
            except InputError:
                if is_named_itself:
                    raise
                passed_over.append(base_name)
                continue
            files.append(info)
    if not files:
        where = {
            "inputs": ", ".join(patterns),
            "there": ", ".join(passed_over[:SHOWN_FILES]) or "no file",
        }
        fix = f"give files in {' '.join(list_suffixes())}"
        raise InputError("there is nothing to read", where, fix)
    return files, sorted(passed_over)


def _list_beside_arrow(files: Sequence[storage.FileInfo]) -> set[str]:
    """The files in the folder of a Hugging Face data set that are not inputs.

    These are the files about the data set, and Arrow files that its state does not name: caches
    of `map` and `filter`.
    """
    arrow_files = [info.path for info in files if info.path.endswith(".arrow")]
    folders = {os.path.dirname(path) for path in arrow_files}
    # A `dataset_dict.json` is one folder above the splits.
    folders |= {os.path.dirname(folder) for folder in folders}
    descriptions = {
        info.path
        for info in files
        if os.path.basename(info.path) in DATASET_FILES and os.path.dirname(info.path) in folders
    }
    caches: set[str] = set()
    for state in descriptions:
        if os.path.basename(state) != "state.json":
            continue
        entries = storage.read_json(state).get("_data_files") or []
        data_files = {str(entry["filename"]) for entry in entries}
        folder = os.path.dirname(state)
        for path in arrow_files:
            if os.path.dirname(path) == folder and os.path.basename(path) not in data_files:
                caches.add(path)
    return descriptions | caches


def make_names(paths: Sequence[str]) -> list[str]:
    """What to call each file: "" for its base name.

    Where several files share a base name: its path below the folder that these have in common.
    """
    absolute = [os.path.abspath(path) if storage.is_local(path) else path for path in paths]
    parts = [path.split("/") for path in absolute]
    base_names = collections.Counter(part[-1] for part in parts)
    ambiguous = [part for part in parts if base_names[part[-1]] > 1]
    levels = zip(*(part[:-1] for part in ambiguous), strict=False)
    common = itertools.takewhile(lambda level: len(set(level)) == 1, levels)
    depth = sum(1 for _ in common)
    return ["/".join(part[depth:]).strip("/") if base_names[part[-1]] > 1 else "" for part in parts]


def refuse_twins(paths: Sequence[str]) -> None:
    """Raise InputError where one file is named twice: each of its records would be read twice."""
    named_as: dict[str, str] = {}
    for path in paths:
        real = os.path.realpath(path) if storage.is_local(path) else path
        if real in named_as:
            where = {"file": named_as[real], "again": path}
            raise InputError("one file is named twice", where, "name each file once")
        named_as[real] = path


def list_inputs(
    files: Sequence[storage.FileInfo], plan: Sequence[Split], read: Mapping[int, int]
) -> list[dict[str, str | int]]:
    """Every input file with its bytes and the records that its splits (by number in `read`) had."""
    records = collections.Counter[str]()
    for split in plan:
        records[split.origin or split.file] += read[split.number]
    names = make_names([info.path for info in files])
    return [
        {
            "name": name or os.path.basename(info.path),
            "bytes": info.size,
            "records": records[info.path],
        }
        for info, name in zip(files, names, strict=True)
    ]
