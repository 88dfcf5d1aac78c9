"""The corpus: documents, the decisions beside them, and shards of token ids."""
