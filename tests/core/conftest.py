"""Small sealed corpora for the tests of the corpus view."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.config import Config
from gristmill.corpus.decision import DECISION_SCHEMA, pair_metadata
from gristmill.corpus.document import DOCUMENT_SCHEMA
from gristmill.runs import storage
from gristmill.runs.run import start_run

PERSONAL = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("type", pa.string())]))
SCHEMA = DOCUMENT_SCHEMA.append(pa.field("personal", PERSONAL, nullable=False))
LEGEND = ("opt_out", "exact_duplicate", "url_duplicate", "near_duplicate", "too_short")


class CorpusSettings(Config):
    """`number` makes every run another."""

    number: int


class SmallCorpora:
    """Writes annotate and decide runs in row groups of two.

    A document is (id, cluster or None, kept id if dropped, similarity, reason), dealt to the shards
    in turn. `columns` holds more columns of the document with an id.
    """

    def __init__(self, out):
        self.out = out
        self.columns = {}
        self.runs = 0

    def make(self, documents, *, shards=1):
        dealt = [documents[shard::shards] for shard in range(shards)]
        texts = [[self.make_document(row[0]) for row in rows] for rows in dealt]
        annotated = self.seal("annotate", "documents", texts, [SCHEMA] * shards)
        pairs = [pair_metadata(file.sha256) for file in annotated.data_files("documents/")]
        schemas = [DECISION_SCHEMA.with_metadata(pair) for pair in pairs]
        decisions = [[self.make_decision(*row) for row in rows] for rows in dealt]
        return self.seal("decide", "decisions", decisions, schemas, [annotated])

    def seal(self, step, folder, shards, schemas, inputs=()):
        self.runs += 1
        config = CorpusSettings(number=self.runs)
        records = [run.as_input() for run in inputs]
        with start_run(step, out=self.out, config=config, inputs=records) as run:
            for number, (rows, schema) in enumerate(zip(shards, schemas, strict=True)):
                path = run.path / folder / f"part-{number:05d}.parquet"
                with storage.open_for_commit(path) as file:
                    table = pa.Table.from_pylist(rows, schema)
                    pq.write_table(table, file, row_group_size=2)
            return run.finish(details={"reasons": LEGEND} if inputs else {})

    def make_document(self, document_id):
        return {
            "id": document_id,
            "text": f"Text {document_id}.",
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
            **self.columns.get(document_id, {}),
        }

    def make_decision(self, _id, cluster, kept_id=None, similarity=None, reason="near_duplicate"):
        keep = kept_id is None
        return {
            "keep": keep,
            "reasons": 0 if keep else 1 << LEGEND.index(reason),
            "cluster": -1 if cluster is None else cluster,
            "cluster_size": 1,
            "kept_id": kept_id,
            "similarity": similarity,
            "repeats": 1,
            "cuts": [],
        }


@pytest.fixture
def corpora(tmp_path):
    """Writes small corpora below one folder."""
    return SmallCorpora(tmp_path)
