"""The audit room: measures what a corpus, its filter rules and a language model say about groups of
people.
"""

from gristmill.kernel_cache import choose_cache

choose_cache()
