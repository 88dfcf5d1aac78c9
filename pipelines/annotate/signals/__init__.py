"""Signals: what is measured once about every document, as columns beside its text."""
