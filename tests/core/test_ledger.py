"""The ledger: every record that was read has one fate, and the sums say so."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import GristmillError, UserError
from gristmill.runs.ledger import (
    FATES,
    LEDGER_SCHEMA,
    Entry,
    Tally,
    Unbalanced,
    check_balance,
    ledger_table,
    totals,
)

KEPT = Entry("wiki", "en", "kept", "", 3, 300)
SHORT = Entry("wiki", "en", "dropped", "too_short", 2, 20)
BROKEN = Entry("wiki", "und", "quarantined", "truncated", 1, 0)

words = st.sampled_from(["a", "b", "中"])
fates = st.sampled_from(
    [("kept", ""), ("dropped", "short"), ("dropped", "dup"), ("quarantined", "bytes")]
)
records = st.lists(st.tuples(fates, words, words, st.integers(0, 2**40)), max_size=40)


def tally_of(found):
    tally = Tally()
    for (fate, reason), source, lang, size in found:
        tally.add(fate, reason, source=source, lang=lang, size=size)
    return tally


@given(records)
def test_a_tally_gives_every_record_one_fate_and_loses_no_byte(found):
    entries = tally_of(found).entries()
    check_balance(len(found), entries, where="here")
    assert sum(entry.bytes for entry in entries) == sum(size for *_, size in found)
    keys = [(entry.source, entry.lang, entry.fate, entry.reason) for entry in entries]
    assert len(keys) == len(set(keys))


@given(records, st.randoms())
def test_the_order_of_the_records_does_not_change_a_tally(found, random):
    shuffled = list(found)
    random.shuffle(shuffled)
    assert tally_of(shuffled).entries() == tally_of(found).entries()


@given(records)
def test_the_totals_add_up_by_fate_and_by_reason(found):
    sums = totals(tally_of(found).entries())
    assert sum(sums[fate] for fate in FATES) == len(found)
    for fate in ("dropped", "quarantined"):
        assert sums[fate] == sum(n for name, n in sums.items() if name.startswith(f"{fate}:"))
    assert not any(name.startswith("kept:") for name in sums)


def test_many_records_are_counted_at_once():
    tally = Tally()
    tally.add("dropped", "short", source="s", lang="en", documents=5, size=50)
    tally.add("dropped", "short", source="s", lang="en", documents=0, size=0)
    assert tally.entries() == [Entry("s", "en", "dropped", "short", 5, 50)]


def test_a_fate_that_never_happened_has_no_entry():
    tally = Tally()
    tally.add("kept", source="s", lang="en", documents=0)
    assert tally.entries() == []


@pytest.mark.parametrize(
    ("fate", "reason"),
    [("kept", "why"), ("dropped", ""), ("quarantined", ""), ("lost", "x"), ("", ""), ("Kept", "")],
)
def test_a_kept_entry_has_no_reason_and_any_other_has_one(fate, reason):
    with pytest.raises(ValueError, match="a kept entry has no reason, any other has one"):
        Entry("s", "en", fate, reason, 1, 1)


@pytest.mark.parametrize(("documents", "size"), [(-1, 0), (0, -1)])
def test_a_negative_count_is_refused(documents, size):
    with pytest.raises(ValueError, match="counts cannot be negative"):
        Entry("s", "en", "kept", "", documents, size)


@pytest.mark.parametrize("read", [5, 7, 0])
def test_a_record_lost_or_invented_is_a_fault_of_ours_with_its_place(read):
    with pytest.raises(
        Unbalanced, match=rf"^split 4: read {read} records, but 6 have a fate$"
    ) as caught:
        check_balance(read, [KEPT, SHORT, BROKEN], where="split 4")
    assert isinstance(caught.value, GristmillError) and not isinstance(caught.value, UserError)
    assert caught.value.exit_code == 1


def test_a_balanced_ledger_passes():
    check_balance(6, [KEPT, SHORT, BROKEN], where="split 4")
    check_balance(0, [], where="split 5")


def test_the_funnel_of_three_entries():
    assert totals([KEPT, SHORT, BROKEN, SHORT]) == {
        "dropped": 4,
        "dropped:too_short": 4,
        "kept": 3,
        "quarantined": 1,
        "quarantined:truncated": 1,
    }
    assert totals([]) == {"dropped": 0, "kept": 0, "quarantined": 0}


def test_the_table_has_one_row_an_entry_sorted_by_split_and_entry():
    table = ledger_table({10: [KEPT], 2: [SHORT, BROKEN, KEPT], 3: []})
    assert table.schema == LEDGER_SCHEMA
    assert [
        (row["split"], row["fate"], row["documents"], row["bytes"]) for row in table.to_pylist()
    ] == [
        (2, "dropped", 2, 20),
        (2, "kept", 3, 300),
        (2, "quarantined", 1, 0),
        (10, "kept", 3, 300),
    ]
    table.validate(full=True)


def test_an_empty_ledger_is_a_table_with_all_columns():
    table = ledger_table({})
    assert (table.num_rows, table.schema) == (0, LEDGER_SCHEMA)
    assert isinstance(table, pa.Table)


@given(
    st.dictionaries(
        st.integers(0, 99), records.map(lambda found: tally_of(found).entries()), max_size=4
    ),
    st.randoms(),
)
def test_the_order_in_which_splits_finish_does_not_change_the_table(by_split, random):
    shuffled = list(by_split.items())
    random.shuffle(shuffled)
    assert ledger_table(dict(shuffled)).equals(ledger_table(by_split))
