"""The graph of copies on Beam: known copies are found and nothing else, and nothing about the machine changes the result."""

import datetime
from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from gristmill.corpus.document import MOMENT
from gristmill.runs import receipts
from gristmill.runs.run import SPILL
from pipelines.annotate.signals.table import compute_signature_column, hash_texts
from pipelines.decide import graph as deciding
from pipelines.decide import shard_keys
from pipelines.decide.config import DecideConfig, NearConfig, UrlConfig
from pipelines.decide.dedup.edge_files import EdgeFiles, wire_more_rounds
from pipelines.decide.dedup.graph import EDGE, DecideJob, PartitionPlan
from pipelines.decide.dedup.keys import join_id
from pipelines.decide.dedup.signatures import compute_min_agreement, get_shard_row, measure_members
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.line_hashes import fold_texts
from pipelines.signatures import PERMUTATIONS

SHARDS, ROWS = 3, 8


def words(rng, count):
    return [f"word{number}" for number in rng.integers(0, 5000, count)]


def texts():
    """24 texts: near copies {0, 1, 2, 21}, exact {3, 4, 20}, less alike {5, 6}, short and exact {7, 15}, the rest alone."""
    rng = np.random.default_rng(4)
    base = [words(rng, 120) for _ in range(SHARDS * ROWS)]
    base[1] = [*base[0][:-2], "other", "end"]
    base[2] = ["new", *base[0][2:]]
    base[21] = [*base[0], "tail"]
    base[4] = base[20] = list(base[3])
    base[6] = [*base[5][:72], *words(rng, 48)]
    base[7] = base[15] = ["too", "short"]
    return [" ".join(text) for text in base]


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Three document shards; 5 and 6 share an address, and so do 8 and 9, which are not alike, and 7 and 15."""
    folder = tmp_path_factory.mktemp("documents")
    addresses = {5: b"a", 6: b"a", 8: b"b", 9: b"b", 7: b"c", 15: b"c"}
    every = texts()
    for shard in range(SHARDS):
        numbers = range(shard * ROWS, shard * ROWS + ROWS)
        buffers = get_text_buffers(pa.array([every[n] for n in numbers]))
        old = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
        table = pa.table(
            {
                "id": [f"{n:032x}" for n in numbers],
                "source": ["s"] * ROWS,
                "kind": ["web"] * ROWS,
                "published": pa.array([old if n == 2 else None for n in numbers], MOMENT),
                "text_hash": hash_texts(fold_texts(*buffers)),
                "url_hash": pa.array(
                    [addresses[n] * 16 if n in addresses else None for n in numbers], pa.binary(16)
                ),
                "signature": compute_signature_column(*buffers),
            }
        )
        pq.write_table(table, folder / f"part-{shard:05d}.parquet", row_group_size=3)
    return folder


def work_of(documents, folder, *, partitions=2, spill=True, piece=1 << 16, **config):
    """A run folder whose keys are there: every document passed the rules."""
    (folder / SPILL).mkdir(parents=True)
    asked = DecideConfig(**config)
    for shard in range(SHARDS):
        table = pq.read_table(documents / f"part-{shard:05d}.parquet")
        contents, addresses = shard_keys.make_keys(table, shard, np.ones(ROWS, bool), asked)
        place = folder / SPILL / f"keys-{shard:05d}.npz"
        np.savez(place, reasons=np.zeros(ROWS, np.int64), contents=contents, addresses=addresses)
        receipts.commit_receipt(folder, receipts.Receipt(shard_keys.KEYS, shard, ROWS))
    plan = PartitionPlan(partitions, SHARDS, str(folder / SPILL) if spill else None, piece)
    return DecideJob(str(folder), str(documents), asked, plan)


def save(work, shard, pieces):
    np.save(f"{work.folder}/members-{shard}.npy", measure_members(work.documents, shard, pieces))
    return iter(())


def on_beam(build):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        build(pipeline)


def members(work):
    """All members, by node."""
    found = [np.load(f"{work.folder}/members-{shard}.npy") for shard in range(SHARDS)]
    return np.concatenate(found).tolist()


@pytest.fixture(scope="module")
def settled():
    """A function that runs a work by one union-find, or by rounds of stars, and gives its members."""

    def run(work, *, rounds=False):
        if not rounds:
            on_beam(lambda pipeline: deciding.wire_decide(pipeline, work, [ROWS] * SHARDS))
            return members(work)
        partitions = work.plan.partitions
        edges, stars = (
            EdgeFiles(work.folder, *kind, partitions)
            for kind in (("edges", EDGE.width), ("stars-1", 2))
        )
        on_beam(lambda pipeline: deciding.wire_edge_files(pipeline, work, edges))
        on_beam(partial(wire_more_rounds, before=edges, after=stars, plan=work.plan))
        assert edges.is_done and stars.is_checked and stars.unsettled() == 0
        on_beam(lambda pipeline: deciding.wire_finalize_files(pipeline, work, edges, stars))
        return members(work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deciding, "finalize_shard", save)
        yield run


@pytest.fixture(scope="module")
def expected(documents, settled, tmp_path_factory):
    """The members of an undisturbed work."""
    return settled(work_of(documents, tmp_path_factory.mktemp("expected") / "run"))


def number(node):
    return (node >> 32) * ROWS + get_shard_row(node)


def clusters(rows):
    """survivor -> its cluster, as numbers of documents."""
    found = {}
    for node, survivor, *_ in rows:
        found.setdefault(number(survivor), set()).add(number(node))
    return found


KNOWN = {2: {0, 1, 2, 21}, 3: {3, 4, 20}, 7: {7, 15}}


def test_known_copies_are_found_and_nothing_else(documents, tmp_path, settled):
    rows = settled(work_of(documents, tmp_path / "run", url=UrlConfig(max_documents=0)))
    assert clusters(rows) == KNOWN
    for node, survivor, label, size, high, low, place, exact, address, agreed in rows:
        mine = KNOWN[number(survivor)]
        assert (number(label), size, join_id(high, low)) == (
            min(mine),
            len(mine),
            f"{number(survivor):032x}",
        )
        assert (place == 0) == (node == survivor) and address == 0
        assert exact == (number(node) in (4, 15, 20))
        assert (
            agreed == PERMUTATIONS
            if node == survivor or exact
            else 0.7 * PERMUTATIONS <= agreed < PERMUTATIONS
        )
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_documents_of_one_address_are_copies_where_they_are_somewhat_alike(
    documents, tmp_path, settled
):
    rows = settled(work_of(documents, tmp_path / "run"))
    assert clusters(rows) == KNOWN | {5: {5, 6}}
    assert [number(row[0]) for row in rows if row[8]] == [6], (
        "what is too short to be compared is no copy by its address"
    )


def test_an_address_may_be_proof_alone_and_that_of_many_documents_never_is(
    documents, tmp_path, settled
):
    trusted = work_of(documents, tmp_path / "a", url=UrlConfig(min_similarity=0))
    assert clusters(settled(trusted)) == KNOWN | {5: {5, 6}, 8: {8, 9}}
    few = work_of(documents, tmp_path / "b", url=UrlConfig(min_similarity=0, max_documents=1))
    assert clusters(settled(few)) == KNOWN


def test_a_lower_bound_lets_the_half_copies_in_and_a_bound_of_one_only_the_equal(
    documents, tmp_path, settled
):
    off = UrlConfig(max_documents=0)
    loose = NearConfig(bands=56, rows=2, min_similarity=0.2)
    assert clusters(settled(work_of(documents, tmp_path / "a", near=loose, url=off))) == KNOWN | {
        5: {5, 6}
    }
    strict = work_of(documents, tmp_path / "b", near=NearConfig(min_similarity=1.0), url=off)
    assert clusters(settled(strict)) == {3: {3, 4, 20}, 7: {7, 15}}


def test_without_comparing_every_shared_band_counts(documents, tmp_path, settled):
    near = NearConfig(bands=112, rows=1, min_similarity=0)
    work = work_of(documents, tmp_path / "run", near=near, url=UrlConfig(max_documents=0))
    assert clusters(settled(work))[5] == {5, 6}


def test_the_newest_survives_where_that_is_asked_and_what_is_preferred_before_all(
    documents, tmp_path, settled
):
    rows = settled(work_of(documents, tmp_path / "run", prefer_date="newest", prefer=("s",)))
    assert clusters(rows)[2] == {0, 1, 2, 21}, "a date comes before none"


CORNERS = [
    ({"partitions": 7}, False),
    ({"spill": False}, True),
    ({"piece": 64, "spill": False, "partitions": 3}, False),
    ({"piece": 64, "spill": False, "partitions": 3}, True),
]
GRID = [
    (way, rounds)
    for way in ({"partitions": 1}, {"partitions": 7}, {"spill": False}, {"piece": 64})
    for rounds in (False, True)
    if (way, rounds) not in CORNERS
]


@pytest.mark.parametrize(
    ("way", "rounds"),
    [*CORNERS, *(pytest.param(*cell, marks=pytest.mark.slow) for cell in GRID)],
    ids=str,
)
def test_partitions_spill_files_pieces_and_rounds_change_nothing(
    documents, tmp_path, settled, expected, way, rounds
):
    assert settled(work_of(documents, tmp_path / "other", **way), rounds=rounds) == expected


def test_the_bound_is_a_number_of_equal_elements():
    assert [compute_min_agreement(bound) for bound in (0, 0.5, 0.7, 1)] == [0, 56, 79, 112]


# edges between jobs


def edge_files(folder, *, partitions=3, stage="edges"):
    (folder / SPILL).mkdir(exist_ok=True)
    return EdgeFiles(str(folder), stage, 2, partitions), PartitionPlan(
        partitions, 1, str(folder / SPILL), 1 << 10
    )


def write(files, plan, rows):
    blocks = [np.array(rows, "<i8").tobytes()] * 2
    on_beam(lambda pipeline: files.wire_write(pipeline | beam.Create(blocks), plan))


def test_written_edges_come_back_once_each_and_every_partition_has_a_receipt(tmp_path):
    files, plan = edge_files(tmp_path)
    assert not files.is_done
    write(files, plan, [[5, 1], [9, 2], [5, 1]])
    assert files.is_done and not files.is_checked
    found = b"".join(block for partition in range(3) for block in files.read(partition))
    assert sorted(np.frombuffer(found, "<i8").reshape(-1, 2).tolist()) == [[5, 1], [9, 2]]


def test_files_of_another_number_of_partitions_are_not_taken_for_these(tmp_path):
    files, plan = edge_files(tmp_path)
    write(files, plan, [[5, 1]])
    assert not edge_files(tmp_path, partitions=2)[0].is_done


def test_a_cut_file_is_not_done(tmp_path):
    files, plan = edge_files(tmp_path)
    write(files, plan, [[n, 0] for n in range(1, 50)])
    largest = max((tmp_path / SPILL).glob("*.edges"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-8])
    assert not files.is_done


def test_a_path_too_long_for_one_job_goes_on_in_the_next_and_ends_in_one_star(tmp_path):
    order = np.random.default_rng(3).permutation(3000).astype(np.int64)
    before, plan = edge_files(tmp_path)
    write(before, plan, np.column_stack([order[:-1], order[1:]]).tolist())
    left = []
    while not left or left[-1]:
        after, _ = edge_files(tmp_path, stage=f"stars-{len(left) + 1}")
        on_beam(partial(wire_more_rounds, before=before, after=after, plan=plan))
        left.append(after.unsettled())
        before = after
    assert len(left) > 1 and left == sorted(left, reverse=True)
    stars = b"".join(block for partition in range(3) for block in before.read(partition))
    assert sorted(np.frombuffer(stars, "<i8").reshape(-1, 2).tolist()) == [
        [node, 0] for node in range(1, 3000)
    ]


def test_shards_are_counted_by_number_where_names_are_in_another_order(tmp_path):
    from gristmill.corpus.shard_pairs import list_shard_rows
    from gristmill.runs.finished import FinishedRun

    files = [
        {"path": f"documents/part-{n:05d}.parquet", "bytes": 1, "sha256": "", "rows": n}
        for n in (99_999, 100_000, 100_001, 9)
    ]
    run = FinishedRun(tmp_path, {"files": sorted(files, key=lambda file: file["path"])})
    assert [file.rows for file in run.data_files("documents/")] == [9, 99_999, 100_000, 100_001]
    ten = [
        {**files[0], "path": f"documents/part-{n:05d}.parquet", "rows": n} for n in range(100_002)
    ]
    run = FinishedRun(tmp_path, {"files": sorted(ten, key=lambda file: file["path"])})
    assert list_shard_rows(run) == list(range(100_002))


def test_a_document_without_a_signature_that_shares_an_address_is_not_said_to_be_like_the_other(
    documents, tmp_path, settled
):
    column = pq.read_table(documents / "part-00000.parquet")
    lone = column.set_column(
        column.schema.get_field_index("url_hash"),
        "url_hash",
        pa.array([None] * 6 + [b"c" * 16] * 2, pa.binary(16)),
    )
    folder = tmp_path / "documents"
    folder.mkdir()
    pq.write_table(lone, folder / "part-00000.parquet")
    for shard in (1, 2):
        (folder / f"part-{shard:05d}.parquet").symlink_to(documents / f"part-{shard:05d}.parquet")
    rows = settled(work_of(folder, tmp_path / "run", url=UrlConfig(min_similarity=0)))
    by = {number(row[0]): row for row in rows}
    assert number(by[7][1]) == 6 and by[7][9] == -1, "6 survives, 7 has no signature"
