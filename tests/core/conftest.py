"""Settings of the core's property tests, a reader of the tables in a page, and a writer of runs with duplicate clusters."""

from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from gristmill import runs, storage
from gristmill.config import Config
from gristmill.document import DOCUMENT_SCHEMA

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
        ("keep", pa.bool_()), ("reasons", pa.uint64()), ("cluster", pa.int64()), ("cluster_size", pa.int32()),
        ("kept_id", pa.string()), ("similarity", pa.float32()), ("repeats", pa.int32()),
    ]
)  # fmt: skip
LEGEND = ("opt_out", "exact_duplicate", "url_duplicate", "near_duplicate", "too_short")


class FamilySettings(Config):
    """A step's configuration; `word` makes its run another."""

    near: dict[str, float] | None = None
    prefer: tuple[str, ...] = ()
    word: str = ""


class Family:
    """Writes runs with duplicate clusters: a document is (id, cluster or None, kept id if dropped, similarity, reason).

    `columns` adds columns to the document with an id.
    """

    def __init__(self, out):
        self.out, self.columns, self.made = out, {}, 0

    def make(self, documents, *, shards=1, **settings):
        rows = [documents[i::shards] for i in range(shards)]
        labels, sizes = {}, {}
        for shard, found in enumerate(rows):
            for row, (_, cluster, *_) in enumerate(found):
                labels.setdefault(cluster, (shard << 32) + row)
                sizes[cluster] = sizes.get(cluster, 0) + 1
        annotated = self.seal("annotate", "documents", DOCUMENTS, [[self.document(one[0]) for one in r] for r in rows])
        decided = [[self.decision(*one, label=labels[one[1]], size=sizes[one[1]]) for one in r] for r in rows]
        return self.seal("decide", "decisions", DECISIONS, decided, [annotated], **settings)

    def seal(self, step, folder, schema, shards, inputs=(), **settings):
        self.made += 1
        config = FamilySettings(word=str(self.made), **settings)
        with runs.start(step, out=self.out, config=config, inputs=[run.as_input() for run in inputs]) as run:
            for number, rows in enumerate(shards):
                with storage.commit(run.path / folder / f"part-{number:05d}.parquet") as file:
                    pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=2)
            read, kept = (
                sum(one.get("keep", True) or every for rows in shards for one in rows) for every in (True, False)
            )
            counts = {"read": read, "kept": kept, "dropped": read - kept, "quarantined": 0}
            return run.finish(counts=counts, details={"reasons": LEGEND} if step == "decide" else {})

    def document(self, id):
        given = {
            "id": id, "text": f"Text {id}.", "source": "news", "kind": "news", "lang": "en", "lang_score": 0.9, "script": "Latn",
            "script_share": 1.0, "licence": "MIT", "evidence": [], "opt_out": [], "personal": [],
        }  # fmt: skip
        return given | self.columns.get(id, {})

    @staticmethod
    def decision(id, cluster, kept_id=None, similarity=None, reason="near_duplicate", *, label, size):
        kept, single = kept_id is None, cluster is None
        return {
            "keep": kept, "reasons": 0 if kept else 1 << LEGEND.index(reason), "cluster": -1 if single else label,
            "cluster_size": 1 if single else size, "kept_id": kept_id, "similarity": similarity, "repeats": size,
        }  # fmt: skip


@pytest.fixture
def family(tmp_path):
    """A writer of runs with duplicate clusters."""
    return Family(tmp_path / "runs")
