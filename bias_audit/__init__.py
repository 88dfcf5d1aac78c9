"""The audit room: measures what a corpus, its filter rules and a language model say about groups of people."""

from pathlib import Path

from gristmill.compiled import choose_cache

choose_cache([Path(__file__).parent / "matcher.py"])
