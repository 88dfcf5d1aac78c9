"""Packed files: whole lines before a break are kept, what follows is one remainder with its offsets."""

import gzip
import itertools
import json
import os
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import RunError
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers import compressed
from pipelines.annotate.readers import lines as reading
from pipelines.annotate.readers.compressed import READ, inflate
from pipelines.annotate.readers.records import Quarantined, Split

RUNS = itertools.count()


def rows(count, *, width=60, seed=1):
    rng = random.Random(seed)
    return b"".join(
        json.dumps({"text": rng.randbytes(rng.randint(0, width)).hex()}).encode() + b"\n"
        for _ in range(count)
    )


def packed(data, kind):
    if kind == "gz":
        return gzip.compress(data, mtime=0)
    return zstandard.ZstdCompressor().compress(data)


def unpacked_part(raw, kind):
    """All bytes that a cut stream still gives."""
    stream = (
        zlib.decompressobj(31) if kind == "gz" else zstandard.ZstdDecompressor().decompressobj()
    )
    return stream.decompress(raw) if raw else b""


def run(tmp_path, raw, kind="gz", *, slice_bytes=1 << 20):
    path = tmp_path / f"a.jsonl.{kind}"
    path.write_bytes(raw)
    slices, remainder = inflate(str(path), tmp_path / "slices" / f"{next(RUNS)}-a", slice_bytes)
    parts = [Path(piece.path).read_bytes() for piece in slices]
    assert [len(part) for part in parts] == [piece.size for piece in slices]
    assert [piece.start for piece in slices] == [
        sum(map(len, parts[:i])) for i in range(len(parts))
    ]
    return parts, remainder


KINDS = ["gz", "zst"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_comes_out_as_it_went_in(kind, tmp_path):
    data = rows(3000)
    parts, remainder = run(tmp_path, packed(data, kind), kind)
    assert b"".join(parts) == data and remainder is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slice_bytes", [1, 100, 1024, 4096])
def test_slices_end_at_line_breaks_and_keep_their_size(kind, slice_bytes, tmp_path):
    data = rows(300)
    parts, remainder = run(tmp_path, packed(data, kind), kind, slice_bytes=slice_bytes)
    longest = max(map(len, data.splitlines(keepends=True)))
    assert b"".join(parts) == data and remainder is None
    assert all(part.endswith(b"\n") and len(part) <= max(slice_bytes, longest) for part in parts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_several_members_is_read_to_its_end(kind, tmp_path):
    data = [rows(50, seed=seed) for seed in range(5)]
    parts, remainder = run(tmp_path, b"".join(packed(part, kind) for part in data), kind)
    assert b"".join(parts) == b"".join(data) and remainder is None


@pytest.mark.parametrize("kind", KINDS)
def test_empty_members_between_others_change_nothing(kind, tmp_path):
    empty, data = packed(b"", kind), rows(20)
    parts, remainder = run(
        tmp_path, empty + packed(data, kind) + empty + empty + packed(data, kind) + empty, kind
    )
    assert b"".join(parts) == data * 2 and remainder is None


@pytest.mark.parametrize("short", range(4))
def test_a_member_may_end_anywhere_near_the_border_of_a_read(short, tmp_path):
    """One byte of the next member's header in the first read is a header all the same."""
    head = b'{"text": "a"}\n'
    member = packed(head, "gz")
    room = READ - short - len(member)
    member = (
        member[:3] + b"\x10" + member[4:10] + b"c" * (room - 1) + b"\0" + member[10:]
    )  # a comment fills it up
    assert len(member) == READ - short
    parts, remainder = run(tmp_path, member + packed(head, "gz"))
    assert b"".join(parts) == head * 2 and remainder is None


@pytest.mark.parametrize("zeros", [1, 511, READ, 2 * READ + 5])
def test_zeros_after_the_last_gzip_member_are_padding(zeros, tmp_path):
    data = rows(20)
    parts, remainder = run(tmp_path, packed(data, "gz") + b"\0" * zeros)
    assert b"".join(parts) == data and remainder is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_gives_exactly_its_whole_lines_and_a_remainder(kind, tmp_path):
    raw = packed(rows(150), kind)
    for cut in [*range(1, len(raw), 97), len(raw) - 1, len(raw) - 4, len(raw) - 8]:
        parts, remainder = run(tmp_path, raw[:cut], kind, slice_bytes=2000)
        good = unpacked_part(raw[:cut], kind)
        whole = good[: good.rfind(b"\n") + 1]
        assert b"".join(parts) == whole, cut
        assert remainder is not None and remainder.offset == len(whole), cut
        assert remainder.compressed_offset == cut and remainder.why


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_second_member_costs_nothing_of_the_first(kind, tmp_path):
    first, second = rows(100, seed=1), rows(100, seed=2)
    raw = packed(first, kind) + packed(second, kind)[:-20]
    parts, remainder = run(tmp_path, raw, kind)
    found = b"".join(parts)
    assert found.startswith(first) and (first + second).startswith(found) and found.endswith(b"\n")
    assert remainder.offset == len(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("garbage", [b"garbage", b"\x1f", b"\x1f\x8b", b"x" * 5000])
def test_garbage_after_the_last_member_is_a_remainder_and_costs_no_line(kind, garbage, tmp_path):
    data = rows(100)
    parts, remainder = run(tmp_path, packed(data, kind) + garbage, kind)
    assert b"".join(parts) == data
    assert remainder is not None and remainder.offset == len(data)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [b"no packed data at all", b"\0" * 100, b"{}"])
def test_a_file_that_is_not_packed_is_one_remainder(kind, raw, tmp_path):
    parts, remainder = run(tmp_path, raw, kind)
    assert parts == [] and (remainder.offset, bool(remainder.why)) == (0, True)


def test_an_empty_file_has_nothing(tmp_path):
    for kind in KINDS:
        assert run(tmp_path, b"", kind) == ([], None)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(20, 5000), bit=st.integers(0, 7))
def test_a_flipped_bit_never_invents_lines_before_the_break(place, bit, tmp_path_factory):
    data = rows(200)
    raw = bytearray(packed(data, "gz"))
    raw[place % (len(raw) - 8)] ^= 1 << bit
    parts, remainder = run(tmp_path_factory.mktemp("flip"), bytes(raw))
    assert remainder is not None or b"".join(parts) == data
    assert not parts or parts[-1].endswith(b"\n")


def test_a_zstd_file_with_a_long_window_and_without_its_size_is_read(tmp_path):
    data = rows(2000)
    options = zstandard.ZstdCompressionParameters.from_level(
        3, window_log=28, write_content_size=False
    )
    parts, remainder = run(
        tmp_path, zstandard.ZstdCompressor(compression_params=options).compress(data), "zst"
    )
    assert b"".join(parts) == data and remainder is None


def test_a_last_line_without_a_break_is_kept_where_the_stream_is_whole(tmp_path):
    data = rows(3)[:-1]
    for kind in KINDS:
        assert run(tmp_path, packed(data, kind), kind) == ([data], None)


def test_what_was_written_is_committed(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(packed(rows(500), "gz"))
    inflate(str(tmp_path / "a.jsonl.gz"), tmp_path / "slices" / "00007-a.jsonl.gz", 3000)
    names = sorted(os.listdir(tmp_path / "slices"))
    assert (
        names == [f"00007-a.jsonl.gz-{number:05d}" for number in range(len(names))]
        and len(names) > 5
    )


def test_a_slice_never_replaces_another(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(packed(rows(5), "gz"))
    inflate(str(tmp_path / "a.jsonl.gz"), tmp_path / "a", 3000)
    before = (tmp_path / "a-00000").read_bytes()
    with pytest.raises(RunError, match="would replace another"):
        inflate(str(tmp_path / "a.jsonl.gz"), tmp_path / "a", 3000)
    assert (tmp_path / "a-00000").read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["X.JSONL.GZ", "x.jsonl.ZST", "x.jsonl.gz", "x.jsonl.zst"])
def test_the_first_bytes_say_how_a_file_is_packed_whatever_its_name(kind, name, tmp_path):
    (tmp_path / name).write_bytes(packed(rows(20), kind))
    slices, remainder = inflate(str(tmp_path / name), tmp_path / "x", 1 << 20)
    assert [Path(piece.path).read_bytes() for piece in slices] == [rows(20)] and remainder is None


@pytest.fixture
def short_lines(monkeypatch):
    """Lines above 1000 bytes are too long."""
    for module in (compressed, reading):
        monkeypatch.setattr(module, "MAX_LINE", 1000)


def read_slices(slices, split_bytes):
    """(places of the records, places and reasons of the broken) over slices cut every `split_bytes`."""
    places, broken = [], []
    for piece in slices:
        for start in range(0, piece.size, split_bytes):
            stop = min(start + split_bytes, piece.size)
            split = Split(
                0, "lines", piece.path, start, stop, origin="/x/a.jsonl.gz", base=piece.start
            )
            for item in reading.read_lines(split, InputColumns()):
                if isinstance(item, Quarantined):
                    broken.append((item.offset, item.reason))
                else:
                    places += [capture["offset"] for capture in item["capture"].to_pylist()]
            assert reading.count_lines(split) <= split_bytes
    return places, broken


@pytest.mark.usefixtures("short_lines")
@settings(max_examples=80, deadline=None)
@given(
    widths=st.lists(
        st.one_of(st.integers(0, 80), st.integers(900, 1100), st.integers(1000, 9000)), max_size=8
    ),
    slice_bytes=st.sampled_from([1, 300, 1500, 1 << 20]),
    split_bytes=st.sampled_from([7, 500, 1 << 20]),
    step=st.sampled_from([3, 64, 4096]),
)
def test_an_over_long_line_costs_one_record_at_its_place_however_it_is_cut(
    widths, slice_bytes, split_bytes, step, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("long")
    lines = [b'{"text": "' + b"x" * width + b'"}\n' for width in widths]
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    cutter = compressed._SliceWriter(folder / "a", slice_bytes, b"\n", compressed.MAX_LINE)
    data = b"".join(lines)
    for at in range(0, len(data), step):
        cutter.add(data[at : at + step])
        assert len(cutter.held) - cutter.whole <= 1001
    cutter.commit(len(cutter.held))
    places, broken = read_slices(cutter.slices, split_bytes)
    assert places == [at for at, line in zip(starts, lines, strict=True) if len(line) <= 1000]
    assert broken == [
        (at, "long_line") for at, line in zip(starts, lines, strict=True) if len(line) > 1000
    ]


@pytest.mark.usefixtures("short_lines")
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_breaks_in_an_over_long_line_has_its_remainder_at_the_lines_beginning(
    kind, tmp_path
):
    noise = random.Random(3).randbytes(300_000).hex().encode()
    head = rows(10)
    parts, remainder = run(tmp_path, packed(head + noise, kind)[:-100], kind)
    assert (b"".join(parts), remainder.offset) == (head, len(head))


def test_a_file_without_any_line_break_is_not_held_in_memory(tmp_path, monkeypatch):
    for module in (compressed, reading):
        monkeypatch.setattr(module, "MAX_LINE", 1 << 20)
    with gzip.open(tmp_path / "a.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(b"a" * (1 << 20))
    tracemalloc.start()
    slices, remainder = inflate(str(tmp_path / "a.jsonl.gz"), tmp_path / "a", 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(piece.start, piece.size) for piece in slices] == [
        (0, (1 << 20) + 1)
    ] and remainder is None
    assert peak < 24 << 20, peak
    assert read_slices(slices, 1 << 18) == ([], [(0, "long_line")])
