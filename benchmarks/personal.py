"""How much personal data is found, how much of what is found is none, and how fast, in one run.

    python benchmarks/personal.py

Reads the shared data folder beside the checkout. Three tables: Presidio's labelled sentences; generated values with
right and with wrong check digits inside real English and Chinese sentences; what is reported per MB of plain corpora,
with MB of text per CPU-second of one core.
"""

import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.annotate.personal.checksums import IBAN_LENGTHS
from pipelines.annotate.personal.spans import TYPES, compute_spans_column, find_personal

SHARED = Path(__file__).resolve().parents[2] / "shared/data"
OF_PRESIDIO = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "PHONE_NUMBER": "phone",
}
CORPORA = (
    "wiki_en",
    "wiki_zh",
    "books_eltec_en",
    "books_debian_en",
    "books_d2l_zh",
    "web_oiwiki_zh",
    "social_wnut17_en",
)
DIGITS, UPPER, LOWER = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
WORD = UPPER + LOWER + DIGITS
EACH = 200
"""Values of each form, in each of the two languages."""

Draw = Callable[[random.Random], str]


def some(rng: random.Random, alphabet: str, n: int) -> str:
    """`n` characters drawn at random."""
    return "".join(rng.choices(alphabet, k=n))


def resident_id(rng: random.Random, wrong: int = 0) -> str:
    """A resident id; its last character is `wrong` places beside the right one."""
    day = f"{rng.randint(1940, 2015)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    raw = (
        rng.choice(["110105", "310104", "440305", "510107", "650102"]) + day + some(rng, DIGITS, 3)
    )
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return (
        raw
        + "10X98765432"[(sum(int(d) * w for d, w in zip(raw, weights, strict=True)) + wrong) % 11]
    )


def card(rng: random.Random, wrong: int = 0) -> str:
    """A payment card of one of the schemes, in one piece or in fours."""
    prefix, length = rng.choice(
        [("4", 16), ("52", 16), ("2345", 16), ("37", 15), ("36", 14), ("3530", 16), ("6221", 19)]
    )
    body = prefix + some(rng, DIGITS, length - len(prefix) - 1)
    total = sum(
        int(d) if i % 2 else sum(divmod(2 * int(d), 10)) for i, d in enumerate(reversed(body))
    )
    raw = body + str((wrong - total) % 10)
    return in_fours(raw, rng.choice([" ", "-", ""])) if length == 16 else raw


def iban(rng: random.Random, wrong: int = 0) -> str:
    """An IBAN of any country of the registry, in one piece or in fours."""
    country = rng.choice(sorted(IBAN_LENGTHS))
    body = some(rng, UPPER + DIGITS, 4) + some(rng, DIGITS, IBAN_LENGTHS[country] - 8)
    number = int("".join(str(int(c, 36)) for c in body + country) + "00")
    return in_fours(
        f"{country}{(97 + 1 - number % 97 + wrong - 2) % 97 + 2:02d}{body}", rng.choice(["", " "])
    )


def in_fours(raw: str, mark: str) -> str:
    """`raw` in groups of four."""
    return mark.join(raw[i : i + 4] for i in range(0, len(raw), 4))


def address6(rng: random.Random) -> str:
    """An IPv6 address in full or with its zeros folded."""
    groups = [f"{rng.randint(0x2001, 0x2BFF):x}", *(f"{rng.randint(0, 65535):x}" for _ in range(7))]
    folded = rng.randint(1, 4)
    return (
        ":".join(groups)
        if rng.random() < 0.5
        else ":".join(groups[:folded]) + "::" + ":".join(groups[folded + 2 :])
    )


def token(rng: random.Random) -> str:
    """A key in the form of one of its makers, or assigned to a name."""
    segment = some(rng, WORD, 30)
    return rng.choice(
        [
            "AKIA" + some(rng, UPPER + "234567", 16),
            "ghp_" + some(rng, WORD, 36),
            "AIza" + some(rng, WORD, 35),
            f"xoxb-{some(rng, DIGITS, 12)}-{some(rng, DIGITS, 12)}-{some(rng, WORD, 24)}",
            "sk-" + some(rng, WORD, 48),
            f"eyJ{segment}.eyJ{segment}.{segment}",
            "hf_" + some(rng, WORD, 34),
            "sk_live_" + some(rng, WORD, 24),
            f"-----BEGIN RSA PRIVATE KEY-----\n{some(rng, WORD, 64)}\n{some(rng, WORD, 64)}\n-----END RSA PRIVATE KEY-----",
        ]
    )


def mobile(rng: random.Random) -> str:
    """A Chinese mobile number."""
    return f"1{rng.randint(3, 9)}{some(rng, DIGITS, 9)}"


def fixed_line(rng: random.Random) -> str:
    """A Chinese fixed line with its area code."""
    return f"0{rng.choice(['10', '21', '755', '571'])}-{rng.randint(2, 8)}{some(rng, DIGITS, 7)}"


def abroad(rng: random.Random) -> str:
    """A number with its country code."""
    mark = rng.choice([" ", "-"])
    return f"+{rng.choice(['1', '44', '49', '86', '852'])}" + "".join(
        mark + some(rng, DIGITS, n) for n in (3, 3, 4)
    )


RIGHT: tuple[tuple[str, str, Draw], ...] = (
    ("resident_id", "resident id", resident_id),
    ("card", "card", card),
    ("iban", "IBAN", iban),
    ("ip", "IPv6", address6),
    (
        "ip",
        "IPv4",
        lambda rng: ".".join(
            [str(rng.randint(1, 126)), *(str(rng.randint(0, 255)) for _ in range(3))]
        ),
    ),
    ("key", "keys of 9 makers", token),
    ("phone", "Chinese mobile", mobile),
    ("phone", "Chinese line", fixed_line),
    ("phone", "international", abroad),
)
WRONG: tuple[tuple[str, str, Draw], ...] = (
    ("resident_id", "resident id, wrong digit", lambda rng: resident_id(rng, 3)),
    ("card", "card, wrong digit", lambda rng: card(rng, 3)),
    ("iban", "IBAN, wrong digits", lambda rng: iban(rng, 7)),
    (
        "ip",
        "IPv6, 7 groups",
        lambda rng: ":".join(f"{rng.randint(4096, 65535):x}" for _ in range(7)),
    ),
    ("ip", "MAC address", lambda rng: ":".join(f"{rng.randint(0, 255):02x}" for _ in range(6))),
    ("ip", "IPv4 over 255", lambda rng: f"{rng.randint(256, 999)}.{rng.randint(1, 255)}.7.9"),
    ("key", "SHA-1", lambda rng: some(rng, "0123456789abcdef", 40)),
    (
        "key",
        "UUID",
        lambda rng: "-".join(some(rng, "0123456789abcdef", n) for n in (8, 4, 4, 4, 12)),
    ),
    ("phone", "12 digits", lambda rng: "1" + some(rng, DIGITS, 11)),
    (
        "phone",
        "ISBN",
        lambda rng: f"978-{some(rng, DIGITS, 1)}-{some(rng, DIGITS, 5)}-{some(rng, DIGITS, 3)}-1",
    ),
    ("phone", "years", lambda rng: f"{rng.randint(1100, 2020)}-{rng.randint(1900, 2020)}"),
)


def sentences(language: str) -> Iterator[tuple[str, str]]:
    """Real sentences of a Wikipedia as the two halves between which a value is put, over and over."""
    mark, place = {
        "en": (". ", re.compile(r"(?<=[a-z] )(?=[a-z])")),
        "zh": ("。", re.compile(r"(?<=[一-鿿])(?=[一-鿿])")),
    }[language]
    column = pq.read_table(SHARED / f"corpus/wiki_{language}.parquet", columns=["text"])[
        "text"
    ].to_pylist()
    found = [s.strip() for text in column[:800] for s in text.split(mark) if 30 < len(s) < 200]
    places = [
        (s, [m.start() for m in place.finditer(s)]) for s in found if not find_personal(s.encode())
    ]
    while True:
        for sentence, its in places:
            if its:
                at = its[len(its) // 2]
                yield sentence[:at], (" " if language == "en" else "") + sentence[at:]


def generated(forms: tuple[tuple[str, str, Draw], ...], title: str) -> None:
    """Print how many of the generated values are reported as their type, exactly, and as anything else."""
    print(f"\n{title:<28}{'values':>8}{'as its type':>13}{'exactly':>9}{'as another':>12}")
    for kind, name, draw in forms:
        rng, hits = random.Random(name), Counter[str]()
        for language in ("en", "zh"):
            for _, (before, behind) in zip(range(EACH), sentences(language), strict=False):
                value = draw(rng)
                start = len(before.encode())
                span = (start, start + len(value.encode()), kind)
                over = [
                    s
                    for s in find_personal(f"{before}{value}{behind}".encode())
                    if s[0] < span[1] and span[0] < s[1]
                ]
                hits.update(
                    its=any(s[2] == kind for s in over),
                    exactly=span in over,
                    other=any(s[2] != kind for s in over),
                )
        print(f"{name:<28}{2 * EACH:>8}{hits['its']:>13}{hits['exactly']:>9}{hits['other']:>12}")


def presidio() -> None:
    """Print recall and precision by type on Presidio's sentences; a span counts where it overlaps one of its type."""
    hit, labelled, reported, right = (Counter[str | None]() for _ in range(4))
    for name in ("presidio_synth_v2", "presidio_generated_large"):
        for line in (
            gzip.decompress((SHARED / f"pii/{name}.jsonl.gz").read_bytes()).decode().splitlines()
        ):
            record = json.loads(line)
            raw = record["text"].encode()
            ours = [
                (len(raw[:a].decode()), len(raw[:b].decode()), kind)
                for a, b, kind in find_personal(raw)
            ]
            truth = [(s["start"], s["end"], OF_PRESIDIO.get(s["type"])) for s in record["spans"]]
            labelled.update(kind for *_, kind in truth)
            reported.update(kind for *_, kind in ours)
            hit.update(
                kind
                for a, b, kind in truth
                if any(x < b and a < y and k == kind for x, y, k in ours)
            )
            right.update(
                kind
                for a, b, kind in ours
                if any(x < b and a < y and k == kind for x, y, k in truth)
            )
    print(
        f"{'Presidio, open part':<28}{'labelled':>8}{'recall':>10}{'reported':>10}{'precision':>11}"
    )
    for kind in OF_PRESIDIO.values():
        recall, precision = hit[kind] / labelled[kind], right[kind] / max(1, reported[kind])
        print(f"{kind:<28}{labelled[kind]:>8}{recall:>10.3f}{reported[kind]:>10}{precision:>11.3f}")


def corpora() -> None:
    """Print what is reported per MB of text that nobody labelled, and MB per CPU-second."""
    print(
        f"\n{'spans in plain corpora':<22}{'MB':>6}"
        + "".join(f"{kind:>12}" for kind in TYPES)
        + f"{'MB/CPU-s':>10}"
    )
    compute_spans_column(pa.array(["compiled 1"]))
    for name in CORPORA:
        text = (
            pq.read_table(SHARED / f"corpus/{name}.parquet", columns=["text"])["text"]
            .combine_chunks()
            .cast(pa.string())
        )
        size = sum(len(value.encode()) for value in text.to_pylist()) / 1e6
        begin = time.process_time()
        column = compute_spans_column(text)
        speed = size / (time.process_time() - begin)
        counts = Counter(column.flatten().field("type").to_pylist())
        print(
            f"{name:<22}{size:>6.1f}"
            + "".join(f"{counts[kind]:>12}" for kind in TYPES)
            + f"{speed:>10.0f}",
            flush=True,
        )


def main() -> None:
    """Print the three tables."""
    presidio()
    generated(RIGHT, "generated, right")
    generated(WRONG, "generated, near misses")
    corpora()


if __name__ == "__main__":
    main()
