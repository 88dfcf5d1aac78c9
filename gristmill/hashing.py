"""Hashes that outlive a run: file digests, digests of plain values, stable document ids and 64-bit keys."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import xxhash

KEY_MASK = (1 << 63) - 1


def sha256_bytes(data: bytes) -> str:
    """The SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a local file in hex, read in chunks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: object) -> bytes:
    """`value` as JSON with sorted keys and no spaces: equal values, equal bytes. Refuses NaN and unknown types."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(value: object) -> str:
    """The SHA-256 in hex of a JSON-like value."""
    return sha256_bytes(canonical_json(value))


def document_id(source: str, locator: str, content: bytes) -> str:
    """The stable id (32 hex digits) of a document.

    `locator` is the URL where it is distinct per document, else the supplied id; `content` the captured
    bytes before extraction. Lengths are hashed too, so no two triples share their concatenation.
    """
    hasher = hashlib.sha256()
    for part in (_bytes_of(source), _bytes_of(locator), content):
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.hexdigest()[:32]


def document_ids(
    sources: Sequence[bytes], locators: Sequence[bytes], contents: Sequence[bytes | memoryview]
) -> list[str]:
    """`document_id` of many documents, of sources and locators in UTF-8; a buffer's length is its bytes."""
    heads = {source: len(source).to_bytes(8, "little") + source for source in set(sources)}
    return [
        hashlib.sha256(
            b"".join(
                (
                    heads[source],
                    len(name).to_bytes(8, "little"),
                    name,
                    len(content).to_bytes(8, "little"),
                    content,
                )
            )
        ).hexdigest()[:32]
        for source, name, content in zip(sources, locators, contents, strict=True)
    ]


def key64(text: str, *, salt: int = 0) -> int:
    """A 63-bit key of `text` (Beam's integer coder is signed); `salt` gives independent keys."""
    return xxhash.xxh3_64_intdigest(_bytes_of(text), seed=salt) & KEY_MASK


def _bytes_of(text: str) -> bytes:
    """UTF-8; a lone surrogate, as JSON can hold it in a URL, must cost no more than its record."""
    return text.encode("utf-8", "surrogatepass")
