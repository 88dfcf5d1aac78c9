"""Settings of the core's property tests, a reader of the tables in a page, writers of runs with duplicate clusters and of pack runs."""

import json
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
from hypothesis import settings

from gristmill.config import Config
from gristmill.corpus.decision import pair_metadata
from gristmill.corpus.document import DOCUMENT_SCHEMA
from gristmill.corpus.shards import (
    shard_name,
    shard_schema,
    write_dataset_dict,
    write_dataset_files,
    write_shard,
)
from gristmill.hashing import sha256_bytes
from gristmill.runs import storage
from gristmill.runs.receipts import describe_file
from gristmill.runs.run import start_run

# A commit waits for the disk: how long that takes says nothing about the code under test.
settings.register_profile("gristmill", deadline=None)
settings.load_profile("gristmill")


class Tables(HTMLParser):
    """Reads the tables of a page: caption -> rows of cells, the head first."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] = []
        self.caption, self.inside = "", ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.rows, self.caption = [], ""
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        self.inside = tag if tag in ("td", "th", "caption") else self.inside

    def handle_endtag(self, tag):
        if tag == "table":
            assert self.caption not in self.found
            self.found[self.caption] = self.rows
        self.inside = "" if tag in ("td", "th", "caption") else self.inside

    def handle_data(self, data):
        if self.inside == "caption":
            self.caption += data
        elif self.inside:
            self.rows[-1][-1] += data


@pytest.fixture(scope="session")
def tables():
    """The tables of a page, as a reader sees them."""
    return lambda page: Tables(page).found


PERSONAL = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("type", pa.string())]))
DOCUMENTS = DOCUMENT_SCHEMA.append(pa.field("personal", PERSONAL, nullable=False))
DECISIONS = pa.schema(
    [
        ("keep", pa.bool_()),
        ("reasons", pa.uint64()),
        ("cluster", pa.int64()),
        ("cluster_size", pa.int32()),
        ("kept_id", pa.string()),
        ("similarity", pa.float32()),
        ("repeats", pa.int32()),
        (
            "cuts",
            pa.list_(
                pa.struct([("start", pa.int32()), ("end", pa.int32()), ("reason", pa.string())])
            ),
        ),
    ]
)
LEGEND = ("opt_out", "exact_duplicate", "url_duplicate", "near_duplicate", "too_short")


class FamilySettings(Config):
    """A step's configuration; `word` makes its run another."""

    near: dict[str, float] | None = None
    prefer: tuple[str, ...] = ()
    word: str = ""


class Family:
    """Writes runs with duplicate clusters: a document is (id, cluster or None, kept id if dropped, similarity, reason).

    `columns` adds columns to the document with an id, `decided` to its decision.
    """

    def __init__(self, out):
        self.out, self.columns, self.decided, self.made = out, {}, {}, 0

    def make(self, documents, *, shards=1, **settings):
        rows = [documents[i::shards] for i in range(shards)]
        labels, sizes = {}, {}
        for shard, found in enumerate(rows):
            for row, (_, cluster, *_) in enumerate(found):
                labels.setdefault(cluster, (shard << 32) + row)
                sizes[cluster] = sizes.get(cluster, 0) + 1
        annotated = self.seal(
            "annotate", "documents", DOCUMENTS, [[self.document(one[0]) for one in r] for r in rows]
        )
        decided = [
            [self.decision(*one, label=labels[one[1]], size=sizes[one[1]]) for one in r]
            for r in rows
        ]
        return self.seal("decide", "decisions", DECISIONS, decided, [annotated], **settings)

    def pair(self, schema, inputs, number):
        """Decisions name the documents file they were made for."""
        if schema is not DECISIONS:
            return schema
        documents = inputs[0].data_files("documents/")[number]
        return schema.with_metadata(pair_metadata(documents.sha256))

    def seal(self, step, folder, schema, shards, inputs=(), **settings):
        self.made += 1
        config = FamilySettings(word=str(self.made), **settings)
        with start_run(
            step, out=self.out, config=config, inputs=[run.as_input() for run in inputs]
        ) as run:
            for number, rows in enumerate(shards):
                with storage.open_for_commit(
                    run.path / folder / f"part-{number:05d}.parquet"
                ) as file:
                    table = pa.Table.from_pylist(rows, self.pair(schema, inputs, number))
                    pq.write_table(table, file, row_group_size=2)
            read, kept = (
                sum(one.get("keep", True) or every for rows in shards for one in rows)
                for every in (True, False)
            )
            counts = {"read": read, "kept": kept, "dropped": read - kept, "quarantined": 0}
            return run.finish(
                counts=counts, details={"reasons": LEGEND} if step == "decide" else {}
            )

    def document(self, id):
        given = {
            "id": id,
            "text": f"Text {id}.",
            "source": "news",
            "kind": "news",
            "lang": "en",
            "lang_score": 0.9,
            "script": "Latn",
            "script_share": 1.0,
            "licence": "MIT",
            "evidence": [],
            "opt_out": [],
            "personal": [],
        }
        return given | self.columns.get(id, {})

    def decision(
        self, id, cluster, kept_id=None, similarity=None, reason="near_duplicate", *, label, size
    ):
        kept, single = kept_id is None, cluster is None
        return {
            "keep": kept,
            "reasons": 0 if kept else 1 << LEGEND.index(reason),
            "cluster": -1 if single else label,
            "cluster_size": 1 if single else size,
            "kept_id": kept_id,
            "similarity": similarity,
            "repeats": size,
            "cuts": [],
            **self.decided.get(id, {}),
        }


@pytest.fixture
def family(tmp_path):
    """A writer of runs with duplicate clusters."""
    return Family(tmp_path / "runs")


PACK_WORDS = ["</s>", *"abcdefghij", "<pad>"]
PACK_TEXTS = {
    "train": [["a", "b", "c"], ["d"], ["e", "f"], ["a", "a", "a", "a"], ["j"]],
    "validation": [["b", "c"]],
}


def pack_tokenizer():
    model = tokenizers.models.WordLevel(
        {word: number for number, word in enumerate(PACK_WORDS)}, unk_token="<pad>"
    )
    return tokenizers.Tokenizer(model).to_str().encode()


def pack_rows(split, schema):
    ids = [[PACK_WORDS.index(word) for word in words] for words in PACK_TEXTS[split]]
    starts = [[0, 2] if len(row) > 2 else [0] for row in ids]
    names = [f"{split}-{number}" for number in range(len(ids))]
    langs = ["en" if number % 2 else "zh" for number in range(len(ids))]
    columns = [ids, starts, names, ["wiki"] * len(ids), langs, [2 * len(row) for row in ids]]
    return pa.record_batch(
        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )


def make_pack(out, *, two=2):
    """A sealed pack run with `two` shards of training, by hand."""
    raw = pack_tokenizer()
    with start_run("pack", out=out, config=FamilySettings(), inputs=[]) as run:
        schema = shard_schema(len(PACK_WORDS), {"gristmill.tokenizer": sha256_bytes(raw)})
        written = []
        for split in PACK_TEXTS:
            batch, count = pack_rows(split, schema), two if split == "train" else 1
            names = [shard_name(number, count) for number in range(count)]
            cuts = np.linspace(0, batch.num_rows, count + 1).astype(int).tolist()
            for name, start, stop in zip(names, cuts[:-1], cuts[1:], strict=True):
                write_shard(
                    run.path / split / name,
                    [batch.slice(start, 1), batch.slice(start + 1, stop - start - 1)],
                    schema,
                )
                written.append(describe_file(run.path, f"{split}/{name}", rows=stop - start))
            write_dataset_files(run.path / split, names, fingerprint="0" * 16)
            written += [
                describe_file(run.path, f"{split}/{name}")
                for name in ("state.json", "dataset_info.json")
            ]
        write_dataset_dict(run.path, list(PACK_TEXTS))
        written.append(describe_file(run.path, "dataset_dict.json"))
        (run.path / "tokenizer").mkdir()
        (run.path / "tokenizer/tokenizer.json").write_bytes(raw)
        (run.path / "tokenizer/special_tokens_map.json").write_text(
            json.dumps({"eos_token": "</s>"})
        )
        written += [
            describe_file(run.path, f"tokenizer/{name}")
            for name in ("tokenizer.json", "special_tokens_map.json")
        ]
        sums = {
            split: {"documents": len(rows), "tokens": sum(map(len, rows))}
            for split, rows in PACK_TEXTS.items()
        }
        details = {"tokenizer": sha256_bytes(raw), "vocab_size": len(PACK_WORDS), "splits": sums}
        return run.finish(details=details, files=written)


def change_file(run, name, edit):
    path = run.path / name
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(edit(data))


def reseal(run, *, rows=None, **details):
    """The run with its manifest changed to fit its files, so that only what lies in them can be wrong."""
    path = run.path / "manifest.json"
    manifest = json.loads(path.read_text())
    for entry in manifest["files"]:
        raw = (run.path / entry["path"]).read_bytes()
        entry |= {
            "bytes": len(raw),
            "sha256": sha256_bytes(raw),
            "rows": (rows or {}).get(entry["path"], entry["rows"]),
        }
    manifest["details"] |= details
    path.write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def packs():
    """A writer of pack runs, what is in them, and ways to damage them."""
    ids = {
        split: [[PACK_WORDS.index(word) for word in words] for words in rows]
        for split, rows in PACK_TEXTS.items()
    }
    return SimpleNamespace(
        make=make_pack,
        change=change_file,
        resealed=reseal,
        words=PACK_WORDS,
        texts=PACK_TEXTS,
        ids=ids,
        tokenizer=pack_tokenizer,
    )


@pytest.fixture
def packed(tmp_path):
    """A sealed pack run with two shards of training and one of validation."""
    return make_pack(tmp_path / "runs")
