"""The audit room: measures what a corpus, its filter rules and a language model say about groups of people."""
