"""The front matter of README.md: the YAML that the Hugging Face Hub and `datasets` read."""

import json
import re
from collections.abc import Iterator
from typing import Any

from gristmill.rights.policy import UNKNOWN
from reports.card.columns import hub_features, stated_features
from reports.card.content import Card
from reports.card.licences import LIST, OTHER, address, hub_id, unlisted

SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"),
    (10**12, "100B<n<1T"),
)
LEAST_SHARE = 0.001
"""Of the text: the label of a language on one short post may be an error of the identifier."""
NO_LANGUAGE = ("und", "zxx", "mis", "mul")


def front_matter(card: Card) -> Iterator[str]:
    """The lines between the dashes."""
    yield from yaml(
        "language", told_languages({lang: one.bytes for lang, one in card.by("lang").items()})
    )
    yield from licence_lines(list(card.scan.of_licence()))
    yield from yaml("pretty_name", card.about.title or f"Gristmill corpus {card.run.id}")
    yield from yaml(
        "size_categories", [next((name for most, name in SIZES if card.rows < most), "n>1T")]
    )
    yield from yaml("task_categories", ["text-generation", "fill-mask"])
    yield from yaml(
        "tags", ["gristmill", "croissant", *(["arrow", "pretokenized"] if card.packed else [])]
    )
    if card.files:
        yield from configs(card)
        yield from dataset_info(card)


def licence_lines(licences: list[str]) -> Iterator[str]:
    """`license`, and what the Hub asks for beside `other`."""
    yield from yaml("license", sorted({hub_id(licence) for licence in licences}) or [UNKNOWN])
    if others := unlisted(licences):
        yield from yaml(
            "license_name", others[0].lower() if len(others) == 1 else f"{OTHER}-spdx-licences"
        )
        if link := (address(others[0]) if len(others) == 1 else LIST):
            yield from yaml("license_link", link)


def configs(card: Card) -> Iterator[str]:
    """Which files are which split, relative to the run's folder."""
    yield from ("configs:", "- config_name: default", "  data_files:")
    for split, files in card.splits().items():
        yield f"  - split: {split}"
        yield f"    path: {pattern(files[0].path)}"


def pattern(path: str) -> str:
    """The glob of the files beside one: train/data-00000-of-00010.arrow -> train/*.arrow."""
    folder, name = path.rsplit("/", 1)
    return f"{folder}/*{name[name.index('.') :]}"


def dataset_info(card: Card) -> Iterator[str]:
    """Columns, of JSON Lines as the export's own README.md states them; of shards the sizes too: what text takes once loaded is not known."""
    if card.features:
        yield from ("dataset_info:", "  features:", *stated_features(card.features))
    elif card.packed or card.files[0].path.endswith(".parquet"):
        yield from ("dataset_info:", "  features:", *hub_features(card.columns))
    if card.packed:
        yield from split_info(card)


def split_info(card: Card) -> Iterator[str]:
    """Rows and bytes of the splits of shards."""
    yield "  splits:"
    counted = card.by("split")
    for split, files in card.splits().items():
        yield f"  - name: {split}"
        yield f"    num_bytes: {sum(file.bytes for file in files)}"
        yield f"    num_examples: {counted[split].documents}"
    size = sum(file.bytes for file in card.files)
    yield from (f"  download_size: {size}", f"  dataset_size: {size}")


def told_languages(sizes: dict[str, int]) -> list[str]:
    """The codes of languages (language -> bytes) that have a share of the text worth telling, and that the Hub takes."""
    total = sum(sizes.values())
    told = [
        code
        for code, size in sizes.items()
        if total and size / total >= LEAST_SHARE and code not in NO_LANGUAGE
    ]
    return [code for code in told if re.fullmatch("[a-z]{2,3}", code)]


def yaml(key: str, value: Any) -> Iterator[str]:
    """A key with a string or a list of strings: JSON strings are YAML strings."""
    if isinstance(value, str):
        yield f"{key}: {json.dumps(value, ensure_ascii=False)}"
    elif value:
        yield f"{key}:"
        yield from (f"- {json.dumps(item, ensure_ascii=False)}" for item in value)
