"""The MinHash signature of a document: `annotate` writes it, `decide` compares it."""

PERMUTATIONS = 112
"""Elements (uint32) of a signature: 14 bands of 8 rows, the bands and rows of FineWeb."""
