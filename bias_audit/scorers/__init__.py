"""Scorers: how likely a language model finds each of the two sentences of a pair.

Two kinds, never comparable with each other, so the scorer's name is part of every metric's id:
`causal_sum` (`causal.py`) and `mlm_pll_shared` (`masked.py`).
"""
