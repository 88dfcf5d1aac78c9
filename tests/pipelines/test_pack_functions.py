"""Packing's decisions: splits that stay when a corpus grows, shards that share the keys, rows that hold the masked text."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.hashing import KEY_MASK
from gristmill.ledger import Tally
from pipelines.config import PackConfig, TokenizerConfig
from pipelines.dedup.repeated import CUTS
from pipelines.pack import Places, encode_table, output_numbers, plan_outputs, read_decisions, shuffle_key, split_of
from pipelines.signals.personal import SPANS
from pipelines.tokens.sentences import surface_lengths
from pipelines.tokens.training import train

IDS = [f"{number:032x}" for number in range(20_000)]
CONFIG = PackConfig(validation=0.05, test=0.02)


def places(**outputs):
    return Places("run", "documents", "decisions", "model", {"train": 1, "validation": 1, "test": 1} | outputs)


def test_splits_have_their_shares():
    made = [split_of(name, CONFIG) for name in IDS]
    assert abs(made.count("validation") / len(IDS) - 0.05) < 0.006
    assert abs(made.count("test") / len(IDS) - 0.02) < 0.004


def test_a_document_keeps_its_split_whatever_the_seed_and_when_the_share_of_validation_grows():
    more = PackConfig(validation=0.2, test=0.02)
    for name in IDS[:3000]:
        assert split_of(name, CONFIG) == split_of(name, PackConfig(validation=0.05, test=0.02, seed=9))
        if split_of(name, CONFIG) == "validation":
            assert split_of(name, more) == "validation"


def test_without_shares_all_documents_are_for_training():
    assert {split_of(name, PackConfig(validation=0, test=0)) for name in IDS[:500]} == {"train"}


def test_the_order_depends_on_the_seed_and_keys_are_63_bits():
    one, two = ([shuffle_key(name, seed) for name in IDS[:500]] for seed in (0, 1))
    assert sorted(range(500), key=one.__getitem__) != sorted(range(500), key=two.__getitem__)
    assert all(0 <= key <= KEY_MASK for key in one) and len(set(one)) == 500


@pytest.mark.parametrize(
    ("text_bytes", "config", "expected"),
    [
        (0, PackConfig(), {"train": 1, "validation": 1, "test": 1}),
        (10**6, PackConfig(validation=0, test=0), {"train": 1, "validation": 0, "test": 0}),
        (10**6, PackConfig(shard_bytes=100_000, validation=0.5, test=0), {"train": 3, "validation": 3, "test": 0}),
        (10**6, PackConfig(shard_bytes=1 << 30, test=0), {"train": 1, "validation": 1, "test": 0}),
    ],
)
def test_shards_are_planned_by_bytes_and_a_split_without_a_share_has_none(text_bytes, config, expected):
    assert plan_outputs(text_bytes, config) == expected


@settings(max_examples=200, deadline=None)
@given(
    train_=st.integers(1, 9),
    validation=st.integers(0, 4),
    test=st.integers(0, 4),
    names=st.lists(st.sampled_from(IDS), max_size=20),
)
def test_every_row_goes_to_a_shard_of_its_own_split(train_, validation, test, names):
    where = places(train=train_, validation=validation, test=test)
    config = PackConfig(validation=0.3 if validation else 0, test=0.3 if test else 0)
    numbers = output_numbers(names, [shuffle_key(name, 0) for name in names], where, config).tolist()
    for name, number in zip(names, numbers, strict=True):
        assert 0 <= number < where.total
        assert where.name_of(number).split("/")[0] == split_of(name, config)


def test_the_extreme_keys_go_to_the_first_and_the_last_shard():
    where = places(train=7, validation=0, test=0)
    config = PackConfig(validation=0, test=0)
    assert output_numbers(["0"] * 3, [0, KEY_MASK // 2, KEY_MASK], where, config).tolist() == [0, 3, 6]


def test_shards_of_a_split_hold_even_shares_in_the_order_of_their_keys():
    where = places(train=4, validation=0, test=0)
    keys = sorted(shuffle_key(name, 0) for name in IDS[:4000])
    numbers = output_numbers(IDS[:4000], keys, where, PackConfig(validation=0, test=0)).tolist()
    assert numbers == sorted(numbers)
    assert all(abs(numbers.count(number) - 1000) < 120 for number in range(4))


def test_shards_are_numbered_by_split():
    where = places(train=2, validation=0, test=1)
    assert [where.offset(split) for split in ("train", "validation", "test")] == [0, 2, 2] and where.total == 3
    assert [where.name_of(number) for number in range(3)] == [
        "train/data-00000-of-00002.arrow", "train/data-00001-of-00002.arrow", "test/data-00000-of-00001.arrow",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def processor(prose):
    model = train([prose(seed, 20) for seed in range(10)], TokenizerConfig(vocab_size=500, threads=1))
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def encode(processor, texts, keep, cuts, personal, config=CONFIG, repeats=None):
    rows = len(texts)
    times = pa.array(repeats or [1] * rows, pa.int32())
    documents = pa.table(
        {
            "id": IDS[:rows],
            "text": texts,
            "source": ["s"] * rows,
            "lang": ["en"] * rows,
            "personal": pa.array(personal, SPANS),
        }
    )
    decided = documents.append_column("cuts", pa.array(cuts, CUTS)).append_column("repeats", times)
    kept = decided.filter(pa.array(keep))
    tally = Tally()
    return encode_table(kept, config, processor, surface_lengths(processor), tally).to_pylist(), tally.entries()


def test_rows_hold_the_masked_text_of_kept_documents_without_control_tokens(processor):
    texts = ["Write to a@b.cn. Now.", "dropped", "all of it is cut", "  spaced  ", "One. Two."]
    mail = [{"start": 9, "end": 15, "type": "email"}]
    cuts = [[], [], [{"start": 0, "end": 16, "reason": "repeated"}], [], []]
    rows, entries = encode(processor, texts, [True, False, True, True, True], cuts, [mail, [], [], [], []])
    assert [processor.decode(row["input_ids"]) for row in rows] == [
        "Write to <EMAIL>. Now.",
        "spaced",
        "One. Two.",
    ]
    assert [row["bytes"] for row in rows] == [22, 6, 9] and [row["id"] for row in rows] == [IDS[0], IDS[3], IDS[4]]
    assert all(min(row["input_ids"]) >= 7 for row in rows)
    assert [len(row["sentences"]) for row in rows] == [2, 1, 2] and all(row["sentences"][0] == 0 for row in rows)
    assert [(entry.fate, entry.reason, entry.documents, entry.bytes) for entry in entries] == [
        ("dropped", "empty_after_cuts", 1, 0),
        ("kept", "", 3, 37),
    ]


def test_an_upweighted_document_is_written_so_often_in_places_of_their_own_and_counted_once(processor):
    config = PackConfig(validation=0, test=0)
    rows, entries = encode(processor, ["one.", "two."], [True, True], [[], []], [[], []], config, [3, 1])
    assert sorted(row["id"] for row in rows) == [IDS[0]] * 3 + [IDS[1]]
    assert len({row["key"] for row in rows}) == 4
    assert rows[:2] == encode(processor, ["one.", "two."], [True, True], [[], []], [[], []], config)[0]
    assert [(entry.fate, entry.documents) for entry in entries] == [("kept", 2)]


def test_a_held_out_document_is_never_written_twice(processor):
    held = PackConfig(validation=0.5, test=0.499)
    assert split_of(IDS[0], held) != "train"
    assert len(encode(processor, ["one."], [True], [[]], [[]], held, [5])[0]) == 1


def test_decisions_of_a_version_without_repeats_write_every_document_once(tmp_path):
    pq.write_table(pa.table({"keep": [True], "cuts": pa.array([[]], CUTS), "cluster": [1]}), tmp_path / "part.parquet")
    assert read_decisions(str(tmp_path / "part.parquet")).to_pylist() == [{"keep": True, "cuts": [], "repeats": 1}]


def test_masking_can_be_turned_off(processor):
    mail = [{"start": 9, "end": 15, "type": "email"}]
    rows, _ = encode(processor, ["Write to a@b.cn."], [True], [[]], [mail], PackConfig(mask_personal=False))
    assert processor.decode(rows[0]["input_ids"]) == "Write to a@b.cn."


def test_documents_without_personal_data_looked_for_are_written_as_they_are(processor):
    names = {"id": IDS[:1], "text": ["Write to a@b.cn."], "source": ["s"], "lang": ["und"]}
    decided = {"cuts": pa.array([[]], CUTS), "repeats": pa.array([1], pa.int32())}
    config = PackConfig(mask_personal=False)
    rows = encode_table(pa.table(names | decided), config, processor, surface_lengths(processor), Tally())
    assert processor.decode(rows["input_ids"].to_pylist()[0]) == "Write to a@b.cn."


def test_nothing_kept_is_no_rows(processor):
    assert encode(processor, ["a", "b"], [False, False], [[], []], [[], []]) == ([], [])


def test_documents_are_encoded_alike_in_pieces_of_any_size(processor, prose, monkeypatch):
    texts = [prose(seed, 2) for seed in range(9)]
    whole = encode(processor, texts, [True] * 9, [[]] * 9, [[]] * 9)
    monkeypatch.setattr("pipelines.pack.ENCODE_ROWS", 2)
    assert encode(processor, texts, [True] * 9, [[]] * 9, [[]] * 9) == whole and len(whole[0]) == 9


def test_a_shard_without_documents_is_no_rows(processor):
    names = [pa.field(name, pa.string()) for name in ("id", "text", "source", "lang")]
    empty = pa.schema([*names, ("personal", SPANS), ("cuts", CUTS), ("repeats", pa.int32())]).empty_table()
    for kept in (
        empty,
        pa.table({name: pa.chunked_array([], empty.schema.field(name).type) for name in empty.schema.names}),
    ):
        assert encode_table(kept, CONFIG, processor, surface_lengths(processor), Tally()).num_rows == 0
