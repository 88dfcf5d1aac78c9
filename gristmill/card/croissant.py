"""The card for machines: Croissant 1.0 with its vocabulary for responsible AI (docs.mlcommons.org/croissant)."""

from collections.abc import Iterator, Sequence
from typing import Any

from gristmill.card.content import UNKNOWN, Card, dropped
from gristmill.card.markdown import COLUMNS

CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "equivalentProperty": "cr:equivalentProperty", "samplingRate": "cr:samplingRate", "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
    "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet",
    "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath",
    "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace",
    "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip
CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
ARROW_STREAM = "application/vnd.apache.arrow.stream"
TYPES = {"input_ids": "sc:Integer", "sentences": "sc:Integer", "bytes": "sc:Integer"}
REPEATED = ("input_ids", "sentences")


def croissant(card: Card, published: str) -> dict[str, Any]:
    """croissant.json; `published` is the day on which the run was sealed."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": card.run.id,
        "description": description(card),
        "url": f"urn:sha256:{card.pack.manifest}",
        "version": "1.0.0",
        "datePublished": published,
        "license": [licence_url(name) for name in card.licences] or [UNKNOWN],
        "creator": {"@type": "sc:Organization", "name": ", ".join(card.sources) or UNKNOWN},
        "inLanguage": list(card.languages),
        "citeAs": f"{card.run.id}, SHA-256 of the manifest {card.pack.manifest}",
        "isLiveDataset": False,
        **responsible(card),
        "distribution": [shard_file(file.path, file.bytes, file.sha256) for file in card.shards],
        "recordSet": [record_set(card, split) for split in card.splits],
    }


def description(card: Card) -> str:
    """One sentence."""
    tokens = sum(split["tokens"] for split in card.splits.values())
    return f"{card.documents} documents, {tokens} tokens of {', '.join(card.languages) or 'no'} text for language models, as Arrow shards of token ids."


def licence_url(name: str) -> str:
    """The address of an SPDX licence; a name that is none stays as it is."""
    return f"https://spdx.org/licenses/{name}.html" if name != UNKNOWN and " " not in name else name


def responsible(card: Card) -> dict[str, Any]:
    """The RAI vocabulary."""
    masked = "masked by typed placeholders" if card.masked else "not masked"
    found = card.facts.corpus.personal if card.facts.corpus else {}
    heads = [line.strip() for audit in card.facts.audits for line in audit.headlines]
    reasons = [
        f"{run.step}: {reason}: {count}"
        for run in (card.annotate, card.decide, card.pack)
        for reason, count in dropped(run).items()
    ]
    return {
        "rai:dataCollection": f"Read from {', '.join(card.sources) or 'no source'}; licences and refusals were captured with every document.",
        "rai:dataCollectionType": ["Web Scraping", "Secondary Data Analysis"],
        "rai:dataPreprocessingProtocol": ["filtered by rules", "exact and near copies removed", "encoded and shuffled", *reasons],
        "rai:personalSensitiveInformation": [f"{kind}: {count} spans, {masked}" for kind, count in found.items()] or [f"looked for: none found; {masked}"],
        "rai:dataBiases": heads or ["not audited"],
        "rai:dataLimitations": ["licences are as stated by sources", "one language label a document", "filters tuned for English and Chinese"],
        "rai:dataUseCases": ["pretraining of language models"],
    }  # fmt: skip


def shard_file(path: str, size: int, sha256: str) -> dict[str, Any]:
    """A shard as a FileObject."""
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{size} B",
        "encodingFormat": ARROW_STREAM,
        "sha256": sha256,
    }


def record_set(card: Card, split: str) -> dict[str, Any]:
    """The rows of a split, read from its first shard's columns: all have the same."""
    first = next(file.path for file in card.shards if file.path.startswith(f"{split}/"))
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"The split {split}, a row a document.",
        "field": list(fields(split, first, list(COLUMNS))),
    }


def fields(split: str, path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The columns."""
    for name in columns:
        yield {
            "@type": "cr:Field", "@id": f"{split}/{name}", "name": f"{split}/{name}", "description": COLUMNS[name],
            "dataType": TYPES.get(name, "sc:Text"), **({"repeated": True} if name in REPEATED else {}),
            "source": {"fileObject": {"@id": path}, "extract": {"column": name}},
        }  # fmt: skip
