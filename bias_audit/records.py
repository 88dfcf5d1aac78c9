"""Turns a pair and its scores into the record that `pairs/MODEL.jsonl` holds."""

from __future__ import annotations

from bias_audit.benchmarks.pairs import Probe
from bias_audit.contract.pair_records import PairRecord, ScoredSentence
from bias_audit.scorers.scores import PairScore


def make_pair_record(pair: Probe, score: PairScore) -> PairRecord:
    """Both sentences, whose they are, how likely the model finds them, and which one it prefers."""
    stereo = float(score.stereo.total)
    anti = float(score.anti.total)
    preferred = _find_preferred_group(pair, stereo, anti)
    return PairRecord(
        id=pair.id,
        axis=pair.axis,
        stereo=ScoredSentence(
            group=pair.stereotyped_group,
            sentence=pair.stereo,
            log_likelihood=stereo,
            tokens=score.stereo_length,
        ),
        anti=ScoredSentence(
            group=pair.other_group,
            sentence=pair.anti,
            log_likelihood=anti,
            tokens=score.anti_length,
        ),
        preferred=preferred,
        prefers_stereotype=None if preferred is None else preferred == pair.stereotyped_group,
    )


def _find_preferred_group(pair: Probe, stereo: float, anti: float) -> str | None:
    if stereo == anti:
        return None
    return pair.stereotyped_group if stereo > anti else pair.other_group
