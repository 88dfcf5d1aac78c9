"""Packing's decisions: splits that stay when a corpus grows, shards that share the keys, rows that hold the masked text."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece

from gristmill.hashing import KEY_MASK
from gristmill.runs.ledger import Tally
from pipelines.annotate.personal.spans import SPANS
from pipelines.decide.dedup.repeated import CUTS
from pipelines.pack.config import MixtureConfig, PackConfig
from pipelines.pack.encode import (
    choose_split,
    encode_table,
    hash_shuffle_key,
    read_decisions,
    repeat_rows,
    split_by_bytes,
)
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.encoder import CompiledEncoder
from pipelines.tokenizer.encoding_tables import compile_model
from pipelines.tokenizer.training import train

IDS = [f"{number:032x}" for number in range(20_000)]
CONFIG = PackConfig(validation=0.05, test=0.02)


def test_splits_have_their_shares():
    made = [choose_split(name, CONFIG) for name in IDS]
    assert abs(made.count("validation") / len(IDS) - 0.05) < 0.006
    assert abs(made.count("test") / len(IDS) - 0.02) < 0.004


def test_a_document_keeps_its_split_whatever_the_seed_and_when_the_share_of_validation_grows():
    more = PackConfig(validation=0.2, test=0.02)
    for name in IDS[:3000]:
        assert choose_split(name, CONFIG) == choose_split(
            name, PackConfig(validation=0.05, test=0.02, seed=9)
        )
        if choose_split(name, CONFIG) == "validation":
            assert choose_split(name, more) == "validation"


def test_without_shares_all_documents_are_for_training():
    assert {choose_split(name, PackConfig(validation=0, test=0)) for name in IDS[:500]} == {"train"}


def test_the_order_depends_on_the_seed_and_keys_are_63_bits():
    one, two = ([hash_shuffle_key(name, seed) for name in IDS[:500]] for seed in (0, 1))
    assert sorted(range(500), key=one.__getitem__) != sorted(range(500), key=two.__getitem__)
    assert all(0 <= key <= KEY_MASK for key in one) and len(set(one)) == 500


@pytest.fixture(scope="module")
def processor(prose):
    model = train(
        [prose(seed, 20) for seed in range(10)], TokenizerConfig(vocab_size=500, threads=1)
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def encode(
    processor, texts, keep, cuts, personal, config=CONFIG, repeats=None, times=None, langs=None
):
    """The rows with their keys, and the ledger's entries."""
    rows = len(texts)
    often = pa.array(repeats or [1] * rows, pa.int32())
    documents = pa.table(
        {
            "id": IDS[:rows],
            "text": pa.array(texts, pa.string()),
            "source": pa.array(["s"] * rows, pa.string()),
            "lang": pa.array(langs or ["en"] * rows, pa.string()),
            "personal": pa.array(personal, SPANS),
        }
    )
    decided = documents.append_column("cuts", pa.array(cuts, CUTS)).append_column("repeats", often)
    tally = Tally()
    found = encode_table(
        decided.filter(pa.array(keep)), config, encoder_of(processor), tally, times or {}
    )
    listed = zip(found.rows.to_pylist(), found.keys.tolist(), found.splits.tolist(), strict=True)
    return (
        [row | {"key": key, "split": split} for row, key, split in listed],
        tally.entries(),
        found.groups,
    )


def encoder_of(processor):
    return CompiledEncoder(compile_model(processor.serialized_model_proto()), processor.normalize)


def test_rows_hold_the_masked_text_of_kept_documents_without_control_tokens(processor):
    texts = ["Write to a@b.cn. Now.", "dropped", "all of it is cut", "  spaced  ", "One. Two."]
    mail = [{"start": 9, "end": 15, "type": "email"}]
    cuts = [[], [], [{"start": 0, "end": 16, "reason": "repeated"}], [], []]
    rows, entries, _ = encode(
        processor, texts, [True, False, True, True, True], cuts, [mail, [], [], [], []]
    )
    assert [processor.decode(row["input_ids"]) for row in rows] == [
        "Write to <EMAIL>. Now.",
        "spaced",
        "One. Two.",
    ]
    assert [row["bytes"] for row in rows] == [22, 6, 9] and [row["id"] for row in rows] == [
        IDS[0],
        IDS[3],
        IDS[4],
    ]
    assert all(min(row["input_ids"]) >= 7 for row in rows)
    assert [len(row["sentences"]) for row in rows] == [2, 1, 2] and all(
        row["sentences"][0] == 0 for row in rows
    )
    assert [(entry.fate, entry.reason, entry.documents, entry.bytes) for entry in entries] == [
        ("dropped", "empty_after_cuts", 1, 0),
        ("kept", "", 3, 37),
    ]


def test_an_upweighted_document_is_written_so_often_in_places_of_their_own_and_counted_once(
    processor,
):
    config = PackConfig(validation=0, test=0)
    rows, entries, _ = encode(
        processor, ["one.", "two."], [True, True], [[], []], [[], []], config, [3, 1]
    )
    assert sorted(row["id"] for row in rows) == [IDS[0]] * 3 + [IDS[1]]
    assert len({row["key"] for row in rows}) == 4
    assert [rows[0], rows[3]] == encode(
        processor, ["one.", "two."], [True, True], [[], []], [[], []], config
    )[0]
    assert [(entry.fate, entry.documents) for entry in entries] == [("kept", 2)]


MIXED = PackConfig(validation=0, test=0, mixture=MixtureConfig(by=("lang",)))


def test_a_mixture_writes_the_documents_of_each_group_so_often_and_drops_those_it_never_writes(
    processor,
):
    texts, langs = ["one.", "two.", "three."], ["en", "zh", "de"]
    times = {"lang=en": 2.0, "lang=zh": 0.0, "lang=de": 1.0}
    rows, entries, groups = encode(
        processor, texts, [True] * 3, [[]] * 3, [[]] * 3, MIXED, None, times, langs
    )
    assert (
        sorted(row["id"] for row in rows) == [IDS[0], IDS[0], IDS[2]]
        and len({row["key"] for row in rows}) == 3
    )
    assert [(entry.lang, entry.fate, entry.reason) for entry in entries] == [
        ("de", "kept", ""),
        ("en", "kept", ""),
        ("zh", "dropped", "mixture"),
    ]
    assert groups == {
        "lang=de": len(processor.encode("three.")),
        "lang=en": 2 * len(processor.encode("one.")),
        "lang=zh": 0,
    }


def test_a_mixture_multiplies_the_repeats_of_clusters_and_leaves_held_out_documents_alone(
    processor,
):
    rows, _, _ = encode(processor, ["one."], [True], [[]], [[]], MIXED, [3], {"lang=en": 2.0})
    assert len(rows) == 6
    held = PackConfig(validation=0.5, test=0.499, mixture=MixtureConfig(by=("lang",)))
    rows, entries, groups = encode(
        processor, ["one."], [True], [[]], [[]], held, [3], {"lang=en": 0.0}
    )
    assert len(rows) == 1 and entries[0].fate == "kept" and groups == {"lang=en": 0}


def test_texts_are_encoded_in_parts_of_some_bytes_and_all_of_them(monkeypatch):
    monkeypatch.setattr("pipelines.pack.encode.TEXT_BYTES", 10)
    texts = pa.array(["abcd", "", "efghij", "k" * 30, "l", "m"], pa.string())
    parts = [part.to_pylist() for part in split_by_bytes(texts)]
    assert [text for part in parts for text in part] == texts.to_pylist() and len(parts) == 3
    assert [part.to_pylist() for part in split_by_bytes(texts.slice(0, 0))] == [[]]


def test_a_held_out_document_is_never_written_twice(processor):
    held = PackConfig(validation=0.5, test=0.499)
    assert choose_split(IDS[0], held) != "train"
    assert len(encode(processor, ["one."], [True], [[]], [[]], held, [5])[0]) == 1


def test_decisions_of_a_version_without_repeats_write_every_document_once(tmp_path):
    pq.write_table(
        pa.table({"keep": [True], "cuts": pa.array([[]], CUTS), "cluster": [1]}),
        tmp_path / "part.parquet",
    )
    assert read_decisions(str(tmp_path / "part.parquet")).to_pylist() == [
        {"keep": True, "cuts": [], "repeats": 1}
    ]


def test_masking_can_be_turned_off(processor):
    mail = [{"start": 9, "end": 15, "type": "email"}]
    rows, _, _ = encode(
        processor, ["Write to a@b.cn."], [True], [[]], [mail], PackConfig(mask_personal=False)
    )
    assert processor.decode(rows[0]["input_ids"]) == "Write to a@b.cn."


def test_documents_without_personal_data_looked_for_are_written_as_they_are(processor):
    names = {"id": IDS[:1], "text": ["Write to a@b.cn."], "source": ["s"], "lang": ["und"]}
    decided = {"cuts": pa.array([[]], CUTS), "repeats": pa.array([1], pa.int32())}
    config = PackConfig(mask_personal=False)
    found = encode_table(pa.table(names | decided), config, encoder_of(processor), Tally(), {})
    assert processor.decode(found.rows["input_ids"].to_pylist()[0]) == "Write to a@b.cn."


def test_nothing_kept_is_no_rows(processor):
    assert encode(processor, ["a", "b"], [False, False], [[], []], [[], []]) == ([], [], {})


def test_documents_are_encoded_alike_in_pieces_of_any_size(processor, prose, monkeypatch):
    texts = [prose(seed, 2) for seed in range(9)]
    whole = encode(processor, texts, [True] * 9, [[]] * 9, [[]] * 9)
    monkeypatch.setattr("pipelines.pack.encode.TEXT_BYTES", 100)
    assert encode(processor, texts, [True] * 9, [[]] * 9, [[]] * 9) == whole and len(whole[0]) == 9


def test_a_shard_without_documents_is_no_rows(processor):
    names = [pa.field(name, pa.string()) for name in ("id", "text", "source", "lang")]
    empty = pa.schema(
        [*names, ("personal", SPANS), ("cuts", CUTS), ("repeats", pa.int32())]
    ).empty_table()
    for kept in (
        empty,
        pa.table(
            {
                name: pa.chunked_array([], empty.schema.field(name).type)
                for name in empty.schema.names
            }
        ),
    ):
        assert encode_table(kept, CONFIG, encoder_of(processor), Tally(), {}).rows.num_rows == 0


def test_repeats_that_do_not_fit_a_list_column_are_refused_not_wrapped():
    ids = pa.ListArray.from_arrays(
        pa.array([0, 1 << 30], pa.int32()), pa.nulls(1 << 30)
    )  # nulls take no memory
    rows = pa.record_batch({"id": ["a"], "input_ids": ids})
    with pytest.raises(ValueError, match="does not fit a list column"):
        repeat_rows(rows, np.array([0]), np.array([3]), 0)
