"""Captured answers: the bytes of one server answer in, the items that it holds out.

A format is one module with a `FORMAT`, listed in `registry.FORMATS`. The crawler reads an answer to
judge it and to go on; `annotate` reads the same answer to split it into documents. To add a format:
write `NAME.py` with an `iter_NAME_items` and its `FORMAT`, name it in `registry.py`, and test it on
a saved answer.
"""
