"""Does a model know word order? Unless it does, a preference near 0.5 is no sign of fairness.

In: the pairs of one benchmark and language. Out: how often a sentence is likelier than its own
words shuffled, with perplexity and tokens a word.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from bias_audit.benchmarks.pairs import Probe
from bias_audit.contract.estimate import Estimate
from bias_audit.contract.model_rows import WordOrderCheck
from bias_audit.scorers.scores import Score, Scorer
from bias_audit.stats import Floats, around, wilson

CHUNK = 32
"""Sentences scored between two moves of the progress bar."""


def word_order_check(
    scorer: Scorer,
    probes: Sequence[Probe],
    *,
    sentences: int,
    seed: int,
    advance: Callable[[int], None],
) -> WordOrderCheck:
    """Compare sentences with the same words in random order.

    The check is passed where sentences are likelier more often than chance: the interval lies
    above 0.5.
    """
    chosen = random.Random(seed).sample(list(probes), min(sentences, len(probes)))
    texts = [probe.stereo for probe in chosen]
    # Each sentence has its own seed: its shuffle must not depend on which others were chosen.
    shuffled = [
        shuffle_words(probe.stereo, probe.lang, random.Random(f"{seed}:{probe.id}"))
        for probe in chosen
    ]
    scores = _score_in_chunks(scorer, [*texts, *shuffled], advance)
    real = scores[: len(texts)]
    mixed = scores[len(texts) :]
    wins = sum(
        first.per_token > second.per_token for first, second in zip(real, mixed, strict=True)
    )
    order = wilson(wins, len(texts))
    words = sum(_count_units(probe) for probe in chosen)
    tokens = sum(score.tokens for score in real)
    return WordOrderCheck(
        benchmark=chosen[0].benchmark,
        lang=chosen[0].lang,
        word_order=order.rounded(),
        perplexity=_compute_perplexity(np.array([score.per_token for score in real])).rounded(),
        tokens_per_word=round(tokens / words, 4),
        passes_sanity_check=order.low > 0.5,
    )


def _score_in_chunks(
    scorer: Scorer, texts: Sequence[str], advance: Callable[[int], None]
) -> list[Score]:
    scores: list[Score] = []
    for start in range(0, len(texts), CHUNK):
        chunk = scorer.score_sentences(texts[start : start + CHUNK])
        scores += chunk
        advance(len(chunk))
    return scores


def _count_units(probe: Probe) -> int:
    """Words of the stereotype, or characters in Chinese; never 0."""
    length = len(probe.stereo) if probe.lang == "zh" else len(probe.stereo.split())
    return max(1, length)


def shuffle_words(sentence: str, lang: str, source: random.Random) -> str:
    """The same words (characters in Chinese) in another order, the final stop left in place."""
    body = sentence[:-1]
    stop = sentence[-1]
    words = list(body) if lang == "zh" else body.split()
    mixed = words[:]
    # A sentence of one word, or of one word repeated, has no other order.
    while mixed == words and len(set(words)) > 1:
        source.shuffle(mixed)
    separator = "" if lang == "zh" else " "
    return separator.join(mixed) + stop


def _compute_perplexity(means: Floats) -> Estimate:
    """exp of the negative mean per-token log-likelihood over sentences, with its interval on the
    log scale.
    """
    error = float(means.std(ddof=1)) / means.size**0.5 if means.size > 1 else 0.0
    inner = around(-float(means.mean()), error, n=means.size)
    value, low, high = (float(np.exp(part)) for part in (inner.value, inner.low, inner.high))
    return Estimate(value, low, high, means.size)
