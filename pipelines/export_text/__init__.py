"""The step export-text: the final text of kept documents, without tokens."""
