"""WARC files in parts: every record once whatever the split size, damage costs itself, and no rights are torn off."""

import gzip
import io
import itertools
import json
import random
import tracemalloc

import pytest
import zstandard
from fastwarc.stream_io import Lz4Writer
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.input_files import choose_files
from pipelines.annotate.readers import warc_survey
from pipelines.annotate.readers.records import Dropped, Quarantined
from pipelines.annotate.readers.registry import read_split
from pipelines.annotate.readers.warc_scan import detect_packing, iter_pieces
from pipelines.annotate.splits import make_plan


def record(kind, body, fields=(), *, length=None, url="http://x.org/1"):
    names = "".join(f"{name}: {value}\r\n" for name, value in fields)
    head = f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n{names}"
    size = len(body) if length is None else length
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + body + b"\r\n\r\n"


def page(number, *, size=0, length=None):
    noise = random.Random(number).randbytes(size).hex()
    block = (
        f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>page {number} {noise}</p>".encode()
    )
    fields = [
        ("WARC-Record-ID", f"<urn:uuid:{number}>"),
        ("Content-Type", "application/http; msgtype=response"),
    ]
    return record("response", block, fields, length=length, url=f"http://x.org/{number}")


def about(number, licence="CC-BY-4.0", *, named=True):
    fields = [("WARC-Concurrent-To", f"<urn:uuid:{number}>")] if named else []
    return record("metadata", json.dumps({"source": "s", "licence": licence}).encode(), fields)


def capture(number, *, size=0, named=True):
    request = record(
        "request", b"GET / HTTP/1.1\r\n\r\n", [("WARC-Concurrent-To", f"<urn:uuid:{number}>")]
    )
    return [request, page(number, size=size), about(number, f"licence-{number}", named=named)]


def lz4(data):
    sink = io.BytesIO()
    writer = Lz4Writer(sink)
    writer.write(data)
    writer.close()
    return sink.getvalue()


PACKERS = {"warc": bytes, "warc.gz": gzip.compress, "warc.lz4": lz4, "warc.zst": zstandard.compress}


def read(path, folder, split_bytes=1 << 24):
    config = AnnotateConfig().model_copy(update={"split_bytes": split_bytes})
    plan = make_plan(choose_files([str(path)])[0], config, folder / "run")
    rows, other = [], []
    for split in plan:
        for item in read_split(split, config.columns):
            if isinstance(item, Quarantined | Dropped):
                other.append(item)
            else:
                rows += item.to_pylist()
    return plan, rows, other


def pieces(data):
    return [
        (p.start, p.stop, [h.kind for h in p.heads], bool(p.fault))
        for p in iter_pieces(io.BytesIO(data), 0, len(data))
    ]


@pytest.mark.parametrize("end", PACKERS)
def test_every_record_is_a_piece_where_it_lies(end):
    parts = [PACKERS[end](one) for number in range(4) for one in capture(number, size=300)]
    starts = [sum(map(len, parts[:i])) for i in range(len(parts) + 1)]
    kinds = ["request", "response", "metadata"] * 4
    wanted = [
        (start, stop, [kind], False)
        for start, stop, kind in zip(starts, starts[1:], kinds, strict=False)
    ]
    assert pieces(b"".join(parts)) == wanted


@pytest.mark.parametrize("end", ["warc.gz", "warc.zst", "warc.lz4"])
def test_members_that_hold_several_records_or_a_part_of_one_are_pieces_of_whole_records(end):
    one, two, three = (page(number, size=400) for number in range(3))
    pack = PACKERS[end]
    parts = [pack(one + two), pack(three[:300]), pack(three[300:]), pack(one)]
    ends = [sum(map(len, parts[:i])) for i in range(5)]
    assert pieces(b"".join(parts)) == [
        (0, ends[1], ["response"] * 2, False),
        (ends[1], ends[3], ["response"], False),
        (ends[3], ends[4], ["response"], False),
    ]


@pytest.mark.parametrize("end", PACKERS)
@pytest.mark.parametrize("named", [True, False])
@settings(max_examples=12, deadline=None)
@given(
    split_bytes=st.integers(1, 6000), sizes=st.lists(st.integers(0, 900), min_size=1, max_size=8)
)
def test_any_split_size_gives_the_same_rows(end, named, split_bytes, sizes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("warc")
    data = [
        PACKERS[end](one)
        for i, size in enumerate(sizes)
        for one in capture(i, size=size, named=named)
    ]
    path = folder / f"a.{end}"
    path.write_bytes(b"".join(data))
    plan, rows, other = read(path, folder, split_bytes)
    assert rows == read(path, folder)[1] and other == []
    assert [row["licence"] for row in rows] == [f"licence-{i}" for i in range(len(sizes))]
    assert plan[0].start == 0 and plan[-1].stop == path.stat().st_size
    assert all(one.stop == two.start for one, two in itertools.pairwise(plan))
    if split_bytes == 1:
        assert len(plan) == len(sizes)


@pytest.mark.parametrize("end", PACKERS)
def test_splits_are_about_as_large_as_asked_and_end_between_captures(end, tmp_path):
    parts = [[PACKERS[end](one) for one in capture(number, size=500)] for number in range(40)]
    path = tmp_path / f"a.{end}"
    path.write_bytes(b"".join(b"".join(group) for group in parts))
    borders = {sum(len(one) for group in parts[:i] for one in group) for i in range(41)}
    plan, _, _ = read(path, tmp_path, 4000)
    assert {split.start for split in plan} <= borders and all(split.note == "" for split in plan)
    longest = max(sum(map(len, group)) for group in parts)
    assert (
        all(4000 <= split.stop - split.start <= 4000 + longest for split in plan[:-1])
        and len(plan) > 5
    )


def test_a_file_whose_rights_lie_at_its_end_is_not_cut_and_says_so(tmp_path):
    path = tmp_path / "a.warc"
    path.write_bytes(
        b"".join(page(i, size=200) for i in range(10)) + about(0, "MIT") + about(5, "CC0-1.0")
    )
    plan, rows, _ = read(path, tmp_path, 1000)
    assert len(plan) == 1 and "one split" in plan[0].note
    assert [row["licence"] for row in rows] == [
        "MIT",
        *["unknown"] * 4,
        "CC0-1.0",
        *["unknown"] * 4,
    ]


def test_a_single_member_is_one_split_that_says_so_and_a_small_file_needs_no_note(tmp_path):
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip.compress(b"".join(page(i, size=900) for i in range(9)), mtime=0))
    assert [bool(split.note) for split in read(path, tmp_path, 2000)[0]] == [True]
    plan, rows, _ = read(path, tmp_path)
    assert [split.note for split in plan] == [""] and len(rows) == 9
    assert {row["capture"]["offset"] for row in rows} == {0}


def cut_short(raw):
    return raw[: len(raw) * 2 // 3]


def flipped(raw):
    return raw[:-20] + bytes([raw[-20] ^ 0xFF]) + raw[-19:]


GARBAGE = b"garbage, no record at all\r\n" * 20
SHORT, LONG = page(1, length=30), page(1, length=5000)


@pytest.mark.parametrize("split_bytes", [1, 700, 1 << 24])
@pytest.mark.parametrize(
    ("end", "damaged", "fault"),
    [
        ("warc.gz", cut_short(gzip.compress(page(1, size=300), mtime=0)), "Error -3"),
        ("warc.gz", flipped(gzip.compress(page(1, size=300), mtime=0)), "Error -3"),
        ("warc.gz", gzip.compress(SHORT, mtime=0), "is none"),
        ("warc.gz", gzip.compress(LONG, mtime=0), "begins inside"),
        ("warc.gz", GARBAGE, "Error -3"),
        ("warc.zst", cut_short(zstandard.compress(page(1, size=300))), ""),
        ("warc.zst", GARBAGE, ""),
        ("warc.lz4", lz4(SHORT), "is none"),
        ("warc.lz4", GARBAGE, "no LZ4 frame"),
        ("warc", SHORT, "does not end after 30 bytes"),
        ("warc", LONG, ""),
        ("warc", cut_short(page(1, size=300)), "does not end"),
        ("warc", GARBAGE, "is none"),
    ],
)
def test_damage_inside_a_file_costs_itself_and_is_named_with_its_place(
    end, damaged, fault, split_bytes, tmp_path
):
    pack, path = PACKERS[end], tmp_path / f"a.{end}"
    before, after = (
        [pack(one) for one in capture(0)],
        [pack(one) for i in range(2, 5) for one in capture(i)],
    )
    path.write_bytes(b"".join([*before, damaged, *after]))
    _, rows, other = read(path, tmp_path, split_bytes)
    assert [row["url"] for row in rows] == [f"http://x.org/{i}" for i in (0, 2, 3, 4)]
    assert [row["licence"] for row in rows] == [f"licence-{i}" for i in (0, 2, 3, 4)]
    [broken] = other
    assert (broken.file, broken.offset) == (path.name, sum(map(len, before)))
    assert fault in broken.error and broken.reason in ("cut_record", "bad_item")


def test_zeros_between_members_are_padding(tmp_path):
    path = tmp_path / "a.warc.gz"
    path.write_bytes(
        gzip.compress(page(0), mtime=0) + b"\0" * 700 + gzip.compress(page(1), mtime=0) + b"\0" * 9
    )
    _, rows, other = read(path, tmp_path)
    assert len(rows) == 2 and other == []


@pytest.mark.parametrize("size", [100, 300, 30_000])
@pytest.mark.parametrize("damage", [cut_short, flipped])
def test_damage_in_a_member_whose_header_is_whole_costs_no_neighbour(damage, size, tmp_path):
    path = tmp_path / "a.warc.gz"
    path.write_bytes(
        gzip.compress(page(0), mtime=0)
        + damage(gzip.compress(page(1, size=size), mtime=0))
        + gzip.compress(page(2), mtime=0)
    )
    _, rows, other = read(path, tmp_path)
    assert [row["url"] for row in rows] == ["http://x.org/0", "http://x.org/2"]
    [broken] = other
    assert broken.reason == "cut_record" and broken.error.endswith(": http://x.org/1")


@pytest.mark.parametrize("end", ["warc", "warc.gz"])
def test_the_rights_of_a_damaged_capture_go_to_no_other(end, tmp_path):
    pack, path = PACKERS[end], tmp_path / f"a.{end}"
    broken = cut_short(pack(page(1, size=300)))
    unnamed = pack(about(1, "CC0-1.0", named=False))
    path.write_bytes(pack(page(0)) + broken + unnamed + pack(page(2)))
    _, rows, other = read(path, tmp_path)
    assert [(row["url"], row["licence"]) for row in rows] == [
        ("http://x.org/0", "unknown"),
        ("http://x.org/2", "unknown"),
    ]
    assert [item.reason for item in other] == ["cut_record"]


@pytest.mark.parametrize(
    "damage", [GARBAGE, cut_short(gzip.compress(about(0), mtime=0))], ids=["anything", "its rights"]
)
@pytest.mark.parametrize("split_bytes", [1, 1 << 24])
def test_a_capture_is_not_read_without_the_rights_that_damage_may_have_held(
    damage, split_bytes, tmp_path
):
    path = tmp_path / "a.warc.gz"
    path.write_bytes(
        gzip.compress(page(0), mtime=0)
        + damage
        + b"".join(gzip.compress(one, mtime=0) for one in capture(1))
    )
    _, rows, other = read(path, tmp_path, split_bytes)
    assert [row["url"] for row in rows] == ["http://x.org/1"]
    assert sorted(item.reason for item in other) in (
        ["bad_item", "cut_rights"],
        ["cut_record", "cut_rights"],
    )


def wet(number, text, media="text/plain"):
    fields = [
        ("Content-Type", media),
        ("WARC-Identified-Content-Language", "fra"),
        ("WARC-Date", "2026-01-02T03:04:05Z"),
    ]
    return record("conversion", text, fields, url=f"http://x.org/{number}")


@pytest.mark.parametrize("name", ["a.warc.wet.gz", "a.wet.gz", "a.wet", "a.warc.gz"])
def test_a_wet_file_is_text_as_it_is(name, tmp_path):
    parts = [
        record("warcinfo", b"isPartOf: x"),
        wet(1, "Grüße & <b>磨坊</b>\n".encode()),
        wet(2, b"\n"),
        wet(3, b"\xff\xfe no"),
        wet(4, b"x", "image/png"),
        wet(5, b"five"),
    ]
    pack = gzip.compress if name.endswith("gz") else bytes
    (tmp_path / name).write_bytes(b"".join(map(pack, parts)))
    _, rows, other = read(tmp_path / name, tmp_path, 1)
    assert [(row["text"], row["media"], row["url"]) for row in rows] == [
        ("Grüße & <b>磨坊</b>\n", "text", "http://x.org/1"),
        ("five", "text", "http://x.org/5"),
    ]
    assert (
        rows[0]["fetched"].isoformat() == "2026-01-02T03:04:05+00:00"
        and rows[0]["licence"] == "unknown"
    )
    assert sorted(item.reason for item in other) == ["empty_body", "not_text", "not_utf8"]


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstandard.compress, lz4], ids=["gzip", "zstd", "lz4"]
)
@pytest.mark.parametrize("length", [None, 10], ids=["as much as it says", "more than it says"])
def test_a_record_that_unpacks_to_anything_costs_no_memory(pack, length):
    bomb = pack(record("resource", b"a" * (200 << 20), length=length))
    tracemalloc.start()
    try:
        assert [piece[2] for piece in pieces(bomb)] == [["resource"]]
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=400), at=st.integers(0, 3000), end=st.sampled_from(sorted(PACKERS)))
def test_noise_anywhere_leaves_every_byte_in_one_piece_or_padding(noise, at, end):
    data = b"".join(PACKERS[end](one) for number in range(3) for one in capture(number))
    data = data[:at] + noise + data[at:]
    found = list(iter_pieces(io.BytesIO(data), 0, len(data)))
    for one, two in itertools.pairwise(found):
        assert one.start < one.stop <= two.start and not data[one.stop : two.start].strip(b"\0\r\n")
    assert found[-1].stop <= len(data) and not data[found[-1].stop :].strip(b"\0\r\n")


@settings(max_examples=40, deadline=None)
@given(
    noise=st.binary(min_size=1, max_size=60),
    at=st.integers(0, 2500),
    split_bytes=st.integers(1, 3000),
)
def test_noise_anywhere_gives_the_same_rows_and_quarantine_for_any_split_size(
    noise, at, split_bytes, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("noise")
    data = b"".join(gzip.compress(one, mtime=0) for number in range(4) for one in capture(number))
    (folder / "a.warc.gz").write_bytes(data[:at] + noise + data[at + len(noise) :])
    assert (
        read(folder / "a.warc.gz", folder, split_bytes)[1:]
        == read(folder / "a.warc.gz", folder)[1:]
    )


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"WARC", None),
    ],
)
def test_packing_is_told_by_the_first_bytes(head, name):
    assert detect_packing(head) == name


@pytest.mark.parametrize("name", ["warcfile.warc", "warcfile.warc.gz", "warcfile.warc.lz4"])
def test_a_strangers_file_is_read_the_same_in_parts(name, shared_data, tmp_path):
    path = shared_data / "crawl/warc/resiliparse/tests/data" / name
    plan, rows, other = read(path, tmp_path, 20_000)
    assert len(plan) > 4 and (rows, other) == read(path, tmp_path)[1:] and len(rows) == 16


def test_the_plan_reads_headers_of_uncompressed_files_and_not_their_pages(tmp_path):
    data = b"".join(page(i, size=200_000) for i in range(10))

    class Counting(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            found = super().read(size)
            Counting.taken += len(found)
            return found

    assert len(list(warc_survey.iter_split_ranges(Counting(data), len(data), 500_000))) > 3
    assert Counting.taken < len(data) // 20
