"""How well and how fast the main text of web pages is found, beside trafilatura and resiliparse, in one run.

    python benchmarks/extraction.py [--sample N] [--set FOLDER]

Scores as trafilatura's own evaluation does (its settings, segments that must and must not appear, white space folded),
on its set of pages, which lies in the shared data folder beside a developer's checkout. Prints one table: precision,
recall, F1 (also of two halves of the pages, by a hash of their address), CPU seconds (of the child too) and their ratio
to trafilatura's default; then F1 by the language that pages state. All get the same bytes; only ours also reads title,
date, author, language and licence, as `annotate` does.
"""

import argparse
import gc
import gzip
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding
from resiliparse.parse.html import HTMLTree

from pipelines.annotate.config import PageLimits
from pipelines.annotate.extract.html import PageTooBig, extract_page
from pipelines.annotate.extract.sandbox import ExtractionError, Sandbox
from pipelines.annotate.readers.warc import decode_page

SET = Path(__file__).resolve().parents[2] / "shared/data/crawl/article_extraction/trafilatura_eval"
PEER = {"include_comments": False, "include_tables": True, "include_formatting": False}
LANGUAGES_FROM = 15
"""Pages a language needs for a line of its own."""

BASE, BOXED = "trafilatura default", "gristmill"

Reader = Callable[[bytes, str], str | None]


@dataclass(frozen=True, slots=True)
class Sample:
    """A page of the set with the segments that must and must not be in its text."""

    url: str
    body: bytes
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


def samples(folder: Path, most: int | None) -> list[Sample]:
    """The pages of the set, evenly thinned to `most`."""
    pages = list(json.loads((folder / "evaldata.json").read_text("utf-8")).items())
    step = max(1, len(pages) // most) if most else 1
    return [
        Sample(url, gzip.decompress((folder / "html" / page["gz"]).read_bytes()), *segments(page))
        for url, page in pages[::step][:most]
    ]


def segments(page: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(map(folded, page["with"])), tuple(map(folded, page["without"]))


def folded(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def ours(body: bytes, url: str) -> str | None:
    """What annotate calls in the child."""
    page = decode_page(body)
    try:
        return extract_page(page, url, PageLimits()).text if page else None
    except PageTooBig:
        return None


@contextmanager
def boxed() -> Iterator[Reader]:
    """What annotate calls: the same through the child process."""
    with Sandbox(PageLimits()) as box:

        def read(body: bytes, url: str) -> str | None:
            page = decode_page(body)
            try:
                return box.extract(page, url).text if page else None
            except ExtractionError:
                return None

        yield read


def resiliparse(body: bytes, url: str) -> str | None:
    text: str = extract_plain_text(
        HTMLTree.parse(bytes_to_str(body, detect_encoding(body))), main_content=True
    )
    return text


def with_metadata(body: bytes, url: str) -> str | None:
    found = trafilatura.bare_extraction(body, url, with_metadata=True, **PEER)
    return None if found is None else found.text


READERS: dict[str, Reader] = {
    BASE: lambda body, _: trafilatura.extract(body, fast=False, **PEER),
    "trafilatura default + metadata": with_metadata,
    "trafilatura fast": lambda body, _: trafilatura.extract(body, fast=True, **PEER),
    "resiliparse": resiliparse,
    "gristmill, no child": ours,
}


def children() -> float:
    """CPU seconds of the processes that this one started."""
    return sum(
        sum(process.cpu_times()[:2]) for process in psutil.Process().children(recursive=True)
    )


def run(
    readers: dict[str, Reader], pages: list[Sample]
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """The folded texts of all pages and the CPU seconds they took, once the imports are paid.

    Every page goes through all readers before the next: readers that ran one after the other paid for the garbage and
    the heat of those before (up to a third, measured).
    """
    for read in readers.values():
        read(pages[0].body, pages[0].url)
    gc.collect()
    gc.freeze()
    found = {name: list[str]() for name in readers}
    seconds = dict.fromkeys(readers, 0.0) | {BOXED: -children()}
    for page in pages:
        for name, read in readers.items():
            start = time.process_time()
            text = read(page.body, page.url)
            seconds[name] += time.process_time() - start
            found[name].append(folded(text or ""))
    seconds[BOXED] += children()
    return found, seconds


def scores(pages: list[Sample], texts: list[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 over the segments."""
    found = wanted = false = 0
    for page, text in zip(pages, texts, strict=True):
        found += sum(segment in text for segment in page.wanted)
        wanted += len(page.wanted)
        false += sum(segment in text for segment in page.unwanted)
    precision, recall = found / max(1, found + false), found / max(1, wanted)
    return precision, recall, 2 * found / max(1, wanted + found + false)


def f1_where(pages: list[Sample], texts: list[str], keep: list[bool]) -> float:
    kept = [(page, text) for page, text, yes in zip(pages, texts, keep, strict=True) if yes]
    return scores([page for page, _ in kept], [text for _, text in kept])[2]


def compare(pages: list[Sample]) -> dict[str, list[str]]:
    """Run and print every reader; the texts of each."""
    first = [hashlib.sha256(page.url.encode()).digest()[-1] % 2 == 0 for page in pages]
    with boxed() as child:
        found, seconds = run(READERS | {BOXED: child}, pages)
    print(f"{'':<31} precision  recall      F1  half A  half B   CPU s   ratio")
    for name, texts in found.items():
        halves = [f1_where(pages, texts, [yes is side for yes in first]) for side in (True, False)]
        line = "".join(f"{value:8.4f}" for value in (*scores(pages, texts), *halves))
        print(f"{name:<31} {line}{seconds[name]:8.1f}{seconds[name] / seconds[BASE]:8.2f}")
    return found


def by_language(pages: list[Sample], found: dict[str, list[str]]) -> None:
    """F1 of the languages that enough pages state."""
    stated = [language(page) for page in pages]
    print(f"\nF1 by language stated   pages {'  '.join(found)}")
    for name in sorted(
        {lang for lang in stated if stated.count(lang) >= LANGUAGES_FROM}, key=stated.count
    )[::-1]:
        keep = [lang == name for lang in stated]
        line = "".join(f"{f1_where(pages, texts, keep):8.4f}" for texts in found.values())
        print(f"{name:<22} {sum(keep):6} {line}")


def language(page: Sample) -> str:
    match = re.search(rb"<html[^>]*\blang=[\"']?([A-Za-z]{2,3})", page.body)
    return match[1].decode().lower() if match else "not stated"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, help="number of pages; all without")
    parser.add_argument("--set", type=Path, default=SET, help="folder of the set")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chosen = samples(options.set, options.sample)
    by_language(chosen, compare(chosen))
