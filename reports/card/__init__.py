"""Data cards: what a corpus is, filled from manifests, ledgers and audits, for people (README.md) and machines (Croissant)."""
