"""Corpus preparation on Apache Beam: annotate, decide, tokenizer, pack."""

import logging

# At its first import Beam warns, on the root logger, about an extra that only Google Cloud needs.
logging.getLogger().addFilter(lambda record: "apitools not found" not in record.getMessage())
