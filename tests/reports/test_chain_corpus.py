"""One pass over documents and decisions finds the counts, the smallest ids of every reason, and the largest clusters."""

import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports.chain.report_data import (
    ClusterSample,
    DuplicateSummary,
    LicenceCount,
    ReasonCount,
    TextSample,
)

from gristmill.config import Config
from gristmill.corpus.document import DOCUMENT_SCHEMA
from gristmill.corpus.view import lowest_bit
from gristmill.errors import RunError
from gristmill.runs import storage
from gristmill.runs.run import start_run
from reports.chain import corpus as corpus_module
from reports.chain.corpus import scan_corpus
from reports.chain.models import collect_curves, parse_metrics, thin_points
from reports.chain.texts import RowLocation, make_sample, mask_personal
from reports.chain.tokens import count_lengths
from reports.clusters.members import keep_smallest
from reports.clusters.sampling import ClusterSizes
from reports.drawing.text_diff import compare_texts

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
    ]
)
LEGEND = ["opt_out", "near_duplicate", "too_short"]


class Settings(Config):
    """A step's configuration, for the name."""

    step: str = ""


def document(id, text="Some text.", **columns):
    given = {
        "id": id,
        "text": text,
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
        "capture": {"file": "/data/a.warc.gz", "offset": 7, "item": 1},
    }
    return {**given, **columns}


def decision(keep=True, reasons=0, cluster=-1, size=1, kept_id=None, similarity=None):
    return {
        "keep": keep,
        "reasons": reasons,
        "cluster": cluster,
        "cluster_size": size,
        "kept_id": kept_id,
        "similarity": similarity,
    }


def sealed(out, step, folder, schema, shards, **details):
    with start_run(step, out=out, config=Settings(step=step)) as run:
        for number, rows in enumerate(shards):
            with storage.open_for_commit(run.path / folder / f"part-{number:05d}.parquet") as file:
                pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=2)
        return run.finish(details=details)


def scan(out, documents, decisions=None):
    annotated = sealed(out, "annotate", "documents", DOCUMENTS, documents)
    decided = decisions and sealed(out, "decide", "decisions", DECISIONS, decisions, reasons=LEGEND)
    return scan_corpus(annotated, decided)


def test_licences_are_counted_by_source_with_the_documents_that_show_each_evidence(tmp_path):
    link = {"signal": "rel=license", "value": "https://a"}
    found = scan(
        tmp_path,
        [
            [document("1", evidence=[link, link]), document("2", evidence=[link])],
            [
                document("3", licence="unknown"),
                document("4", source="wiki", evidence=None, opt_out=None),
            ],
        ],
        [[decision(), decision(keep=False, reasons=4)], [decision(), decision()]],
    )
    assert found.licences == (
        LicenceCount("news", "MIT", 2, 1, {"rel=license": 2}),
        LicenceCount("news", "unknown", 1, 1, {}),
        LicenceCount("wiki", "MIT", 1, 1, {}),
    )
    assert found.documents == 4


def test_opt_outs_count_all_documents_and_personal_data_the_kept_ones(tmp_path):
    email, phone = ({"start": 0, "end": 4, "type": kind} for kind in ("email", "phone"))
    found = scan(
        tmp_path,
        [
            [
                document("1", opt_out=["noai", "nobot"], personal=[email]),
                document("2", opt_out=["noai"]),
                document("3", personal=[email, email, phone]),
            ]
        ],
        [[decision(keep=False, reasons=1), decision(keep=False, reasons=1), decision()]],
    )
    assert found.opt_outs == {("news", "noai"): 2, ("news", "nobot"): 1}
    assert found.personal == {"email": 2, "phone": 1}


def test_a_reason_counts_what_it_decided_all_it_holds_for_and_what_no_other_would_have_dropped(
    tmp_path,
):
    bits = [0, 4, 6, 6, 2, 4]
    found = scan(
        tmp_path, [[document(str(i)) for i in range(6)]], [[decision(not b, b) for b in bits]]
    )
    assert [(r.name, r.first, r.any, r.alone) for r in found.reasons] == [
        ("near_duplicate", 3, 3, 1),
        ("too_short", 2, 4, 2),
    ]


def test_samples_are_the_smallest_ids_of_all_shards_whatever_their_order(tmp_path):
    shards = [[document(id) for id in ids] for ids in (["9", "4", "7"], ["8", "1"], ["5"])]
    found = scan(tmp_path, shards, [[decision(False, 4)] * len(rows) for rows in shards])
    assert [sample.id for sample in found.reasons[0].samples] == ["1", "4"]


def test_a_text_whose_rights_do_not_allow_it_is_not_shown(tmp_path):
    found = scan(
        tmp_path,
        [[document("1", "Secret."), document("2", "Open.")]],
        [[decision(False, 5), decision(False, 4)]],
    )
    origin = ("news", "en")
    assert found.reasons == (
        ReasonCount(
            "opt_out", 1, 1, 0, (TextSample("1", *origin, None, "a.warc.gz, offset 7, item 1"),)
        ),
        ReasonCount(
            "too_short",
            1,
            2,
            1,
            (TextSample("2", *origin, "Open.", "a.warc.gz, offset 7, item 1"),),
        ),
    )


def test_the_largest_clusters_show_the_kept_text_and_the_least_similar_dropped_one(tmp_path):
    shards = [
        [
            document("a", "kept of two"),
            document("b", "kept of three"),
            document("c", "nearly equal"),
        ],
        [
            document("d", "least similar"),
            document("e", "copy of two"),
            document("f", "alone"),
            document("g", "tiny"),
            document("h", "tiny"),
        ],
    ]
    decisions = [
        [
            decision(cluster=0, size=2),
            decision(cluster=1, size=3),
            decision(False, 2, 1, 3, "b", 0.9),
        ],
        [
            decision(False, 2, 1, 3, "b", 0.75),
            decision(False, 2, 0, 2, "a", 1.0),
            decision(),
            decision(),
            decision(),
        ],
    ]
    found = scan(tmp_path, shards, decisions).duplicates

    def shown(id, text):
        return TextSample(id, "news", "en", text, "a.warc.gz, offset 7, item 1")

    assert found == DuplicateSummary(
        {2: 1, 3: 1},
        (
            ClusterSample(
                3,
                0.75,
                shown("b", "kept of three"),
                shown("d", "least similar"),
                compare_texts("kept of three", "least similar"),
            ),
            ClusterSample(
                2,
                1.0,
                shown("a", "kept of two"),
                shown("e", "copy of two"),
                compare_texts("kept of two", "copy of two"),
            ),
        ),
    )


def test_copies_are_compared_over_their_whole_text_with_personal_data_masked(tmp_path):
    body = "word " * 400
    texts = [f"{body}mail a@b.org now", f"{body}mail c@d.org then"]
    spans = [
        [
            {
                "start": text.encode().index(b"@") - 1,
                "end": text.encode().index(b"@") + 6,
                "type": "email",
            }
        ]
        for text in texts
    ]
    shard = [
        document(id, text, personal=own) for id, text, own in zip("ab", texts, spans, strict=True)
    ]
    found = scan(
        tmp_path, [shard], [[decision(cluster=0, size=2), decision(False, 2, 0, 2, "a", 0.9)]]
    ).duplicates
    assert found is not None
    (cluster,) = found.largest
    assert cluster.comparison == compare_texts(
        f"{body}mail [email] now", f"{body}mail [email] then"
    )
    assert cluster.comparison.places[0].before == 394 and "@" not in repr(cluster)


def test_the_meaning_of_signals_is_read_from_the_documents_own_files(tmp_path):
    signals = scan(tmp_path, [[document("1")]]).signals
    assert signals["lang_score"] == "the identifier's probability, 0 to 1"
    assert "personal" not in signals


def test_only_the_largest_clusters_are_held():
    clusters = ClusterSizes()
    size = np.arange(2, 102, dtype=np.int32)
    table = {
        "cluster": np.arange(100),
        "cluster_size": size,
        "kept_id": pa.nulls(100, pa.string()),
        "keep": [True] * 100,
    }
    clusters.add(pa.table(table), 0, 0)
    assert clusters.top == [(-101, 99), (-100, 98), (-99, 97), (-98, 96), (-97, 95)]
    assert sum(clusters.sizes.values()) == 100


def test_without_a_decide_run_documents_are_counted_and_nothing_is_said_of_reasons(tmp_path):
    found = scan(tmp_path, [[document("1"), document("2")]])
    assert (found.documents, found.decided, found.reasons, found.duplicates) == (2, False, (), None)
    assert found.licences == (LicenceCount("news", "MIT", 2, 2, {}),)


def test_an_empty_shard_is_no_harm(tmp_path):
    found = scan(tmp_path, [[], [document("1")]], [[], [decision()]])
    assert (found.documents, found.duplicates) == (1, DuplicateSummary({}, ()))


def test_batches_do_not_change_what_is_found(tmp_path, monkeypatch):
    ids = [f"{i:02d}" for i in range(20)]
    bits = [i % 5 for i in range(20)]
    arguments = [[document(id) for id in ids]], [[decision(not b, b) for b in bits]]
    whole = scan(tmp_path / "a", *arguments)
    monkeypatch.setattr(corpus_module, "BATCH", 3)
    assert scan(tmp_path / "b", *arguments) == whole


def test_decisions_of_other_documents_are_refused(tmp_path):
    with pytest.raises(RunError, match="not as many rows"):
        scan(tmp_path / "rows", [[document("1")]], [[decision(), decision()]])
    with pytest.raises(RunError, match="not as many shards"):
        scan(tmp_path / "shards", [[document("1")]], [[decision()], [decision()]])


def test_texts_are_not_held_in_memory(tmp_path):
    shards = [[document(f"{i:04d}", "x" * 100_000) for i in range(60)]]
    tracemalloc.start()
    scan(tmp_path, shards, [[decision(False, 4)] * 60])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pa.default_memory_pool().bytes_allocated() < 3_000_000
    assert peak < 3_000_000


# ---- single pieces


def test_the_lowest_bit_is_the_first_reason():
    assert [lowest_bit(bits) for bits in (1, 2, 6, 1 << 63)] == [0, 1, 1, 63]


@given(st.lists(st.text(max_size=3), unique=True), st.integers(1, 4))
def test_keeping_the_smallest_is_sorting_and_cutting(ids, most):
    found: list[tuple[str, RowLocation]] = []
    for id in ids:
        keep_smallest(found, (id, RowLocation(0, 0)), most)
    assert [id for id, _ in found] == sorted(ids)[:most]


def test_personal_data_is_masked_by_its_bytes():
    text = "é: a@b.org, 电话 123"
    spans = [
        {"start": len("é: a@b.org, 电话 ".encode()), "end": len(text.encode()), "type": "phone"},
        {"start": 4, "end": 11, "type": "email"},
    ]
    assert mask_personal(text, spans) == "é: [email], 电话 [phone]"


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


@given(st.integers(0, 40), SPANS)
def test_all_and_only_what_lies_inside_a_span_is_masked(length, pairs):
    spans = [{"start": min(pair), "end": max(pair), "type": "x"} for pair in pairs]
    covered = {at for span in spans for at in range(span["start"], span["end"])}
    assert len(mask_personal("o" * length, spans).replace("[x]", "")) == len(
        set(range(length)) - covered
    )


@given(st.text(), SPANS)
def test_spans_that_cut_a_character_in_two_are_no_harm(text, pairs):
    assert (
        mask_personal(
            text, [{"start": min(pair), "end": max(pair), "type": "x"} for pair in pairs]
        ).encode()[:1]
        or not text
    )


def test_a_long_text_is_cut_after_masking():
    shown = make_sample(
        document(
            "1",
            "mail a@b.org " + "word " * 200,
            personal=[{"start": 5, "end": 12, "type": "email"}],
        )
    )
    assert shown.text is not None
    assert shown.text.startswith("mail [email] word")
    assert len(shown.text) <= 320


def test_a_document_without_capture_has_no_origin():
    assert make_sample(document("1", capture=None)).capture == ""


def test_lengths_are_counted_by_powers_of_two():
    assert count_lengths(np.array([0, 1, 2, 3, 4, 7, 8, 1024]))[:11].tolist() == [
        2,
        2,
        2,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        1,
    ]


@given(st.lists(st.integers(1, 2**31 - 1)))
def test_every_length_is_counted_in_the_power_that_holds_it(lengths):
    counts = count_lengths(np.array(lengths, np.int64))
    assert counts.tolist() == [sum(2**i <= n < 2 ** (i + 1) for n in lengths) for i in range(40)]


def test_curves_have_training_first_and_skip_what_is_no_number():
    rows = parse_metrics(
        '{"step": 0, "validation_loss": 3.0}\n{"step": 1, "loss": 2.0, "mlm_loss": NaN, "lr": 0.1}\n\n',
        "run",
    )
    assert collect_curves(rows) == {"loss": [(1, 2.0)], "validation_loss": [(0, 3.0)]}


def test_garbled_metrics_are_refused_by_name():
    with pytest.raises(RunError, match="pretrain-1"):
        parse_metrics('{"step": 0', "pretrain-1")
    with pytest.raises(RunError, match="pretrain-1"):
        parse_metrics(json.dumps([1]), "pretrain-1")


@given(st.lists(st.tuples(st.integers(), st.integers()), max_size=2000))
def test_thinning_keeps_the_ends_and_the_order(points):
    kept = thin_points(points)
    assert len(kept) <= 302
    assert kept[:1] == points[:1]
    assert kept[-1:] == points[-1:]
    places = iter(points)
    assert all(point in places for point in kept)
