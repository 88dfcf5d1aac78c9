"""datatrove's side of benchmarks/annotate.py; run by the Python of a venv that holds datatrove, which ours does not.

    python datatrove_rules.py TEXTS.jsonl LANGUAGE OUT.json SECONDS [FINEWEB2.json]

FINEWEB2.json holds FineWeb-2's bounds and stop words of a language; with it, the filters are set as that data set's were.
Every rule is asked on its own, so that reasons can be compared one by one; the speed is that of the four filters as they
are shipped (stop at the first reason). Stops to begin new documents after SECONDS of CPU and says how many it did.
"""

import json
import sys
import time
from functools import lru_cache
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.word_tokenizers import load_word_tokenizer
from memory import most_memory

NO_QUALITY = dict.fromkeys(
    [
        "min_doc_words",
        "max_doc_words",
        "min_avg_word_length",
        "max_avg_word_length",
        "max_symbol_word_ratio",
        "max_bullet_lines_ratio",
        "max_ellipsis_lines_ratio",
        "max_non_alpha_words_ratio",
        "min_stop_words",
    ]
)
NO_REPETITION = {
    "dup_line_frac": None,
    "dup_para_frac": None,
    "dup_line_char_frac": None,
    "dup_para_char_frac": None,
    "top_n_grams": (),
    "dup_n_grams": (),
}
NO_FINEWEB = {
    "line_punct_thr": 0.0,
    "short_line_thr": 1.0,
    "char_duplicates_ratio": 1.0,
    "new_line_ratio": float("inf"),
}
QUALITY = {
    "too_few_words": "min_doc_words",
    "too_many_words": "max_doc_words",
    "symbols": "max_symbol_word_ratio",
    "bullets": "max_bullet_lines_ratio",
    "ellipses": "max_ellipsis_lines_ratio",
    "letters": "max_non_alpha_words_ratio",
}
TOP, REPEATED = {2: 0.2, 3: 0.18, 4: 0.16}, {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}


def rules(language: str) -> dict[str, object]:
    """One filter per rule, by our names."""

    def quality(**on: object) -> object:
        return GopherQualityFilter(**(NO_QUALITY | on), language=language)

    def repetition(**on: object) -> object:
        return GopherRepetitionFilter(**(NO_REPETITION | on), language=language)

    def fineweb(**on: object) -> object:
        return FineWebQualityFilter(**(NO_FINEWEB | on), language=language)

    return {
        "too_few_words": quality(min_doc_words=50),
        "too_many_words": quality(max_doc_words=100000),
        "word_length": quality(min_avg_word_length=3, max_avg_word_length=10),
        "symbols": quality(max_symbol_word_ratio=0.1),
        "bullets": quality(max_bullet_lines_ratio=0.9),
        "ellipses": quality(max_ellipsis_lines_ratio=0.3),
        "not_alphabetic": quality(max_non_alpha_words_ratio=0.8),
        "stop_words": quality(min_stop_words=2),
        "repeated_lines": repetition(dup_line_frac=0.3),
        "repeated_paragraphs": repetition(dup_para_frac=0.3),
        "repeated_line_chars": repetition(dup_line_char_frac=0.2),
        "repeated_paragraph_chars": repetition(dup_para_char_frac=0.2),
        **{f"top_{n}gram": repetition(top_n_grams=((n, share),)) for n, share in TOP.items()},
        **{
            f"repeated_{n}grams": repetition(dup_n_grams=((n, share),))
            for n, share in REPEATED.items()
        },
        "c4": C4QualityFilter(language=language),
        "line_ends": fineweb(line_punct_thr=0.12),
        "short_lines": fineweb(short_line_thr=0.67),
        "repeated_chars": fineweb(char_duplicates_ratio=0.01),
        "line_breaks": fineweb(new_line_ratio=0.3),
    }


def fineweb2_rules(
    language: str, bounds: dict[str, dict[str, float]], stop_words: list[str]
) -> dict[str, object]:
    """One filter per rule of FineWeb-2's pipeline, by our names: bounds are {name: {"min" or "max": number}}."""

    def filters(name: str, low: float | None, high: float | None) -> object:
        match name.removeprefix("fw2_").split("_"):
            case ["top", gram]:
                return GopherRepetitionFilter(
                    **NO_REPETITION | {"top_n_grams": ((int(gram[0]), high),)}, language=language
                )
            case ["repeated", grams] if grams.endswith("grams"):
                spans = ((int(grams.removesuffix("grams")), high),)
                return GopherRepetitionFilter(
                    **NO_REPETITION | {"dup_n_grams": spans}, language=language
                )
            case ["repeated", "lines"]:
                return GopherRepetitionFilter(
                    **NO_REPETITION | {"dup_line_frac": high}, language=language
                )
            case ["line", "ends"]:
                return FineWebQualityFilter(
                    **NO_FINEWEB | {"line_punct_thr": low}, language=language
                )
            case ["line", "breaks"]:
                return FineWebQualityFilter(
                    **NO_FINEWEB | {"new_line_ratio": high}, language=language
                )
            case ["repeated", "chars"]:
                return FineWebQualityFilter(
                    **NO_FINEWEB | {"char_duplicates_ratio": high}, language=language
                )
            case ["stop", "words"]:
                on = {"min_stop_words": low, "stop_words": stop_words}
            case ["word", "length"]:
                on = {"min_avg_word_length": low, "max_avg_word_length": high}
            case _:
                on = {QUALITY[name.removeprefix("fw2_")]: high if low is None else low}
        return GopherQualityFilter(**NO_QUALITY | on, language=language)

    return {
        name: filters(name, bound.get("min"), bound.get("max")) for name, bound in bounds.items()
    }


def drops(rule: object, text: str) -> bool:
    """Whether a filter drops a text; where it fails on one (no lines, no words: a division by zero), it does."""
    try:
        return rule.filter(Document(text=text, id="")) is not True
    except ZeroDivisionError:
        return True


def main() -> None:
    """Judge every text, then time the filters as shipped."""
    source, language, out, seconds, *fineweb2 = sys.argv[1:]
    texts = [
        json.loads(line) for line in Path(source).read_text(encoding="utf-8").split("\n") if line
    ]
    shipped = [
        GopherRepetitionFilter(language=language),
        GopherQualityFilter(language=language),
        C4QualityFilter(filter_no_terminal_punct=False, language=language),
        FineWebQualityFilter(language=language),
    ]
    for rule in shipped:
        drops(rule, texts[0])
    done, size, started = 0, 0, time.process_time()
    while done < len(texts) and time.process_time() - started < float(seconds):
        any(drops(rule, texts[done]) for rule in shipped)
        size += len(texts[done].encode())
        done += 1
    cpu, peak = time.process_time() - started, most_memory()
    # The tokenizer of all filters: their speed is known now, so it may keep the words of the text that each rule asks for.
    tokenizer = load_word_tokenizer(language)
    tokenizer.word_tokenize = lru_cache(maxsize=1)(tokenizer.word_tokenize)
    single = (
        fineweb2_rules(language, **json.loads(Path(fineweb2[0]).read_text()))
        if fineweb2
        else rules(language)
    )
    verdicts = [
        [name for name, rule in single.items() if drops(rule, text)] for text in texts[:done]
    ]
    Path(out).write_text(
        json.dumps(
            {"rules": list(single), "cpu": cpu, "bytes": size, "peak": peak, "verdicts": verdicts}
        )
    )


if __name__ == "__main__":
    main()
