"""Corpus preparation on Apache Beam: annotate, decide, tokenizer, pack."""
