"""The card for machines: Croissant 1.0 with its vocabulary for responsible AI (docs.mlcommons.org/croissant).

Croissant requires `datePublished`: it is the day on which the run was sealed, the one value here that does not come from
what was made. A rebuild on another day differs in it alone; the same run folder always gives the same bytes.
"""

from collections.abc import Iterator
from typing import Any

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_language,
    format_list,
)
from gristmill.rights.policy import UNKNOWN
from reports.card.about import given_or_not
from reports.card.biases import basis, models
from reports.card.columns import croissant_field
from reports.card.content import Card
from reports.card.front import pattern, told_languages
from reports.card.licences import WORDS, address
from reports.card.policies import PLACEHOLDERS, authors, limits, masking, takedowns, unread

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "samplingRate": "cr:samplingRate",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
FORMATS = {
    ".arrow": "application/vnd.apache.arrow.stream",
    ".parquet": "application/x-parquet",
    ".jsonl": "application/jsonlines",
    ".jsonl.gz": "application/gzip",
    ".jsonl.zst": "application/zstd",
    ".json": "application/json",
}
OTHERWISE = "application/octet-stream"
NO_VERSION = "0.0.0+"
"""With the run's hash: Croissant asks for a version, and where none was given this one claims no release."""


def croissant(card: Card, published: str | None) -> dict[str, Any]:
    """croissant.json; `published` is the day on which the run was sealed, if that is known."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": card.title,
        "description": description(card),
        "url": f"urn:sha256:{card.own.manifest}",
        **creator(card),
        "version": card.about.version or f"{NO_VERSION}{card.run.id.rsplit('-', 1)[-1]}",
        **({"datePublished": published} if published else {}),
        "license": list(licences(card)) or [UNKNOWN],
        "inLanguage": told_languages({lang: one.bytes for lang, one in card.by("lang").items()}),
        "keywords": [
            "language modelling",
            "text corpus",
            *(["pretokenized"] if card.packed else []),
        ],
        "citeAs": f"{card.run.id}, made by Gristmill {card.own.version}; SHA-256 of its manifest {card.own.manifest}",
        "isLiveDataset": False,
        **responsible(card),
        "distribution": [*files(card), *file_sets(card)],
        "recordSet": [record_set(card, split) for split in card.splits()],
    }


def creator(card: Card) -> dict[str, Any]:
    """Who made it, and whom to ask; left out where no creator was given."""
    if not card.about.creator:
        return {}
    reached = {"url" if "://" in card.contact else "email": card.contact} if card.contact else {}
    return {"creator": {"@type": "sc:Organization", "name": card.about.creator, **reached}}


def description(card: Card) -> str:
    """One sentence."""
    what = f"{format_counted(card.tokens, 'token')}, " if card.packed else ""
    names = (
        format_list([format_language(lang) for lang in card.by("lang")], most=6) or "no language"
    )
    form = "as Arrow shards of token ids" if card.packed else "as text"
    return f"{card.amount}, {what}{format_bytes(card.bytes)} of text for language models ({names}), {form}."


def licences(card: Card) -> Iterator[str | dict[str, str]]:
    """The SPDX addresses of all licences of kept documents; one that has none is described."""
    for name, number in card.scan.of_licence().items():
        documents = f"{format_count(number)} of {card.kept.replace('`', '')}"
        said = WORDS.get(name, "a licence without an SPDX address")
        yield address(name) or {
            "@type": "sc:CreativeWork",
            "name": name,
            "description": f"{documents}: {said}",
        }


def responsible(card: Card) -> dict[str, Any]:
    """The RAI vocabulary, only what is known; what is not stands in the limitations."""
    fetched = card.scan.dates("fetched")
    return {
        "rai:dataCollection": collection(card),
        "rai:dataCollectionType": ["Web Scraping"] if card.crawled else ["Secondary Data analysis"],
        "rai:dataCollectionRawData": raw_data(card),
        **(
            {"rai:dataCollectionTimeFrame": [f"{fetched.first}", f"{fetched.last}"]}
            if fetched
            else {}
        ),
        "rai:dataCollectionMissingData": f"Records that could not be fetched or read: {unread(card)}.",
        "rai:dataPreprocessingProtocol": list(protocol(card)),
        "rai:personalSensitiveInformation": list(personal(card)),
        "rai:dataBiases": list(biases(card)) or ["not audited: nothing is known"],
        "rai:dataLimitations": [line.replace("`", "") for line in limits(card)],
        "rai:dataUseCases": ["Training, validation and testing of language models"],
        "rai:dataReleaseMaintenancePlan": f"A document that must go is put on the takedown list by its id, and the next rebuild leaves it out. So far: {takedowns(card)}. Contact: {given_or_not(card.contact, '--contact')}.",
    }


def biases(card: Card) -> Iterator[str]:
    """The headlines of audits, and what they were counted on."""
    for audit in card.audits:
        yield from (line.strip() for line in audit.headlines)
        yield from (line.replace("`", "") for line in (*models(card, audit), *basis(card)))


def collection(card: Card) -> str:
    """How the text came here."""
    how = "crawled from" if card.crawled else "read from files of"
    return f"{card.amount}, {how} {format_counted(len(card.by('source')), 'source')}: {format_list(list(card.by('source')), most=20)}."


def raw_data(card: Card) -> str:
    """What was read first."""
    names = [*(run.id for run in card.of("crawl")), *card.last("annotate").files_read]
    return f"{format_counted(card.last('annotate').counts['read'], 'record')} of {format_list(names, most=20)}."


def protocol(card: Card) -> Iterator[str]:
    """The steps, with what each read and kept, and why it dropped the rest."""
    for run in (one for one in card.runs if one.main and one.entries):
        reasons = [
            f"{loss.reason} {format_count(loss.number)}"
            for loss in card.losses
            if loss.step == run.step
        ]
        why = f"; {', '.join(reasons)}" if reasons else ""
        yield f"{run.step}: read {format_count(run.counts['read'])}, kept {format_count(run.counts['kept'])}{why}"


def personal(card: Card) -> Iterator[str]:
    """What is known of personal data."""
    yield f"Personal data: {masking(card)}."
    for kind, number in sorted((card.scan.personal or {}).items()):
        yield f"{kind}: {format_counted(number, 'span')}" + (
            f", masked as {PLACEHOLDERS[kind]}" if card.masked else ""
        )
    yield from (line.replace("`", "") for line in authors(card))


def files(card: Card) -> Iterator[dict[str, Any]]:
    """Every file of data, and the tokenizer's, as FileObjects."""
    for file in [*card.files, *card.run.data_files("tokenizer/")]:
        yield {
            "@type": "cr:FileObject",
            "@id": file.path,
            "name": file.path,
            "contentUrl": file.path,
            "contentSize": f"{file.bytes} B",
            "encodingFormat": encoding(file.path),
            "sha256": file.sha256,
        }


def encoding(path: str) -> str:
    """The media type of a file."""
    name = path.rsplit("/", 1)[-1]
    return FORMATS.get(name[name.index(".") :] if "." in name else "", OTHERWISE)


def file_sets(card: Card) -> Iterator[dict[str, Any]]:
    """The files of each split together: what its rows are read from."""
    for split, found in card.splits().items():
        yield {
            "@type": "cr:FileSet",
            "@id": split,
            "name": split,
            "description": f"All files of the split {split}.",
            "includes": pattern(found[0].path),
            "encodingFormat": encoding(found[0].path),
        }


def record_set(card: Card, split: str) -> dict[str, Any]:
    """The rows of a split, read from all its files."""
    number = format_counted(card.by("split")[split].documents, "row")
    return {
        "@type": "cr:RecordSet",
        "@id": f"{split}-rows",
        "name": f"{split}-rows",
        "description": f"The split {split}: {number}, a document each.",
        "field": [croissant_field(column, split) for column in card.columns],
    }
