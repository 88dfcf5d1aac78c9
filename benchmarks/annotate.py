"""Annotating against datatrove and dolma: speed per core and verdicts, document by document, on the same texts in one run.

    python benchmarks/annotate.py [--sets wiki_en web_ud_ewt_en wiki_zh] [--documents 1500] [--seconds 20]

The peers need other versions than ours of common packages, so each runs in a venv of its own, made once below
`~/.cache/gristmill/peers` from PyPI. Prints MB of text per CPU-second and the most memory of everybody, then
for each of datatrove's rules how many documents we and they drop, the Jaccard similarity of both sets, and the share of
documents with equal verdicts: Gopher's and FineWeb's rules in English, FineWeb-2's in the other languages that our preset of
that name knows. Sets named `sentences_th` or `sentences_ar` are made of single sentences, since there are no documents in
these languages beside us.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from peers.environment import peer_python
from peers.memory import most_memory

from pipelines.annotate.extract.normalize import normalize, normalize_column
from pipelines.annotate.personal.spans import compute_spans_column
from pipelines.annotate.signals.language import compute_language_columns
from pipelines.annotate.signals.lines import compute_line_numbers
from pipelines.annotate.signals.script import compute_script_columns
from pipelines.annotate.signals.table import (
    NUMBERS,
    SIGNAL_FIELDS,
    compute_number_columns,
    compute_signal_columns,
    compute_signature_column,
    load_stop_words,
)
from pipelines.contract import load_preset_rules
from pipelines.kernels.buffers import get_text_buffers

SHARED = Path(__file__).resolve().parents[2] / "shared/data"
PEERS = {"datatrove": "datatrove_rules.py", "dolma": "dolma_taggers.py"}
"""The script of each; what it needs stands in `peers.environment`."""
LANGUAGES = {
    "en": "eng",
    "zh": "cmn",
    "de": "deu",
    "ja": "jpn",
    "fr": "fra",
    "es": "spa",
    "pt": "por",
    "pl": "pol",
    "uk": "ukr",
    "vi": "vie",
    "th": "tha",
    "ar": "arb_Arab",
}
"""What datatrove calls a language, by our code."""
SENTENCES = {"th": "tha", "ar": "ara"}
"""What the collection of sentences calls it."""


def fineweb2_bounds(lang: str) -> dict[str, dict[str, float]]:
    """The bounds of our preset `fineweb2` in a language, by rule, as its script wants them; {} in English."""
    rules = [rule for rule in load_preset_rules() if rule.preset == "fineweb2" and lang != "en"]
    found = {rule.name: dict(zip(("min", "max"), rule.bounds(lang), strict=True)) for rule in rules}
    finite = {
        name: {side: bound for side, bound in pair.items() if np.isfinite(bound)}
        for name, pair in found.items()
    }
    return {name: pair for name, pair in finite.items() if pair}


def ask_peer(name: str, texts: Sequence[str], lang: str, seconds: float) -> dict[str, Any]:
    """What a peer's script says of the texts; a failure is returned as {"failed": last line}."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "texts.jsonl", Path(folder) / "out.json"
        source.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
        script = Path(__file__).parent / "peers" / PEERS[name]
        command = [peer_python(name), script, source, LANGUAGES.get(lang, lang), out, str(seconds)]
        if name == "datatrove" and (bounds := fineweb2_bounds(lang)):
            settings = Path(folder) / "fineweb2.json"
            settings.write_text(
                json.dumps({"bounds": bounds, "stop_words": load_stop_words().get(lang, [])})
            )
            command.append(settings)
        environment = os.environ | {
            "PYTHAINLP_READ_ONLY": "1"
        }  # else it makes a folder in one's home
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, env=environment
        )
        if done.returncode:
            return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:120]}
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def sample(name: str, most: int) -> tuple[list[str], str]:
    """Normalized documents of a set, the same ones each time, and their language."""
    if name.startswith("sentences_"):
        lang = name.removeprefix("sentences_")
        return [normalize(text) for text in assembled(SENTENCES[lang], most)], lang
    table = pq.read_table(SHARED / f"corpus/{name}.parquet", columns=["text", "lang"])
    texts = [normalize(text) for text in table["text"].to_pylist()]
    texts = [text for text in texts if text]
    random.Random(1).shuffle(texts)
    return texts[:most], str(table["lang"][0])


def assembled(language: str, most: int) -> list[str]:
    """Documents of 5 to 40 sentences, a line or a paragraph each or several a line; every third repeats some of its lines."""
    with gzip.open(SHARED / "langid/lingua_sentences.tsv.gz", "rt", encoding="utf-8") as lines:
        sentences = [
            line.rstrip("\n").split("\t")[1] for line in lines if line.startswith(f"{language}\t")
        ]
    found = []
    for number in range(most):
        rng = random.Random(number)
        lines = rng.sample(sentences, rng.randint(5, 40))
        if number % 3 == 0:
            lines += rng.choices(lines, k=rng.randint(1, len(lines)))
            rng.shuffle(lines)
        found.append("".join(line + rng.choice(("\n", "\n", "\n\n", " ")) for line in lines))
    return found


def speed(texts: Sequence[str], lang: str, work: Callable[[pa.Array, str], object]) -> float:
    """MB of text per CPU-second of `work`, done once before: compiled, and all models loaded."""
    column = pa.array(texts, pa.string())
    work(column, lang)
    started = time.process_time()
    work(column, lang)
    return sum(map(len, (text.encode() for text in texts))) / 1e6 / (time.process_time() - started)


def numbers_alone(column: pa.Array, lang: str) -> list[pa.Array]:
    """Every signal that a rule may bound, with the cut into words."""
    return compute_number_columns(column, pa.array([lang] * len(column)))


def numbers_and_rules(column: pa.Array, lang: str) -> object:
    """The signals, and the verdicts of all rules of Gopher, C4 and FineWeb on every document."""
    signals = dict(zip(NUMBERS, numbers_alone(column, lang), strict=True))
    langs = [lang] * len(column)
    rules = [
        rule
        for rule in load_preset_rules()
        if rule.preset in ("gopher", "gopher_letters", "repetition", "c4", "fineweb")
    ]
    return [rule.applies(signals[rule.signal].to_numpy(), langs) for rule in rules]


def whole_step(column: pa.Array, _: str) -> object:
    """Everything that annotate does to plain text."""
    text = normalize_column(column)
    compute_script_columns(text)
    return compute_signal_columns(text, compute_language_columns(text)[0])


OURS = {
    "signals and rules": numbers_and_rules,
    "of these, signals of lines": lambda column, _: compute_line_numbers(*get_text_buffers(column)),
    "MinHash signature": lambda column, _: compute_signature_column(*get_text_buffers(column)),
    "language": lambda column, _: compute_language_columns(column),
    "personal data": lambda column, _: compute_spans_column(column),
    "the whole step": whole_step,
}


def measure_ours(name: str, most: int) -> tuple[dict[str, float], int, int]:
    """The speed of each part of ours on a set, and the most memory (RSS) in bytes after imports and in the end."""
    texts, lang = sample(name, most)
    imported = most_memory()
    speeds = {what: speed(texts, lang, work) for what, work in OURS.items()}
    return speeds, imported, most_memory()


def verdicts(texts: Sequence[str], lang: str) -> dict[str, np.ndarray]:
    """Which documents each of our rules drops."""
    columns = compute_signal_columns(pa.array(texts, pa.string()), pa.array([lang] * len(texts)))
    signals = dict(zip([field.name for field in SIGNAL_FIELDS], columns, strict=True))
    found = {
        rule.name: rule.applies(signals[rule.signal].to_numpy(), [lang] * len(texts))
        for rule in load_preset_rules()
    }
    c4 = np.any([found[rule.name] for rule in load_preset_rules() if rule.preset == "c4"], axis=0)
    return (
        found | {"c4": c4}
    )  # datatrove's filter says only the first reason it meets: the verdicts of the whole preset are compared


def compare(name: str, most: int, seconds: float) -> None:
    """One set: everybody's speed, then the verdicts."""
    texts, lang = sample(name, most)
    print(f"\n{name} ({lang}), {len(texts)} documents, MB per CPU-second")
    with multiprocessing.get_context("spawn").Pool(
        1
    ) as pool:  # a process of its own, as the peers have
        speeds, imported, peak = pool.apply(measure_ours, (name, most))
    for what, found in speeds.items():
        print(f"  ours       {what:<27} {found:8.1f}")
    print(
        f"  ours       {'most memory':<27} {peak / 1e6:8.0f} MB, of these {imported / 1e6:.0f} for imports and texts"
    )
    answers = {peer: ask_peer(peer, texts, lang, seconds) for peer in PEERS}
    for peer, answer in answers.items():
        told = (
            answer.get("failed")
            or f"{answer['bytes'] / 1e6 / answer['cpu']:8.2f}   {answer['peak'] / 1e6:.0f} MB at most"
        )
        print(f"  {peer:<10} {'quality filters':<27} {told}")
    if "verdicts" in answers["datatrove"]:
        tell_agreement(texts, lang, answers["datatrove"])


def tell_agreement(texts: Sequence[str], lang: str, theirs: dict[str, Any]) -> None:
    """The table of verdicts, rule by rule and for the union of all."""
    judged = theirs["verdicts"]
    mine = verdicts(texts[: len(judged)], lang)
    any_of_ours, any_of_theirs = np.zeros(len(judged), bool), np.zeros(len(judged), bool)
    print(
        f"  {'rule':<26} {'ours':>6} {'theirs':>6} {'Jaccard':>8} {'equal':>7}   ({len(judged)} documents)"
    )
    for rule in theirs["rules"]:
        ours, peer = mine[rule], np.array([rule in reasons for reasons in judged], bool)
        any_of_ours |= ours
        any_of_theirs |= peer
        if ours.any() or peer.any():
            tell_row(rule, ours, peer)
    tell_row("any rule", any_of_ours, any_of_theirs)


def tell_row(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """One line of the table."""
    both, either = int((ours & theirs).sum()), int((ours | theirs).sum())
    jaccard = both / either if either else 1.0
    print(
        f"  {name:<26} {ours.sum():6d} {theirs.sum():6d} {jaccard:8.3f} {(ours == theirs).mean():7.4f}"
    )


def main() -> None:
    """Compare every set asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", nargs="+", default=["wiki_en", "books_eltec_en", "web_ud_ewt_en", "wiki_zh"]
    )
    parser.add_argument("--documents", type=int, default=1500)
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="CPU-seconds a peer may take for a set"
    )
    options = parser.parse_args()
    for name in options.sets:
        compare(name, options.documents, options.seconds)


if __name__ == "__main__":
    main()
