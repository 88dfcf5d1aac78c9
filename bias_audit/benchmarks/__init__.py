"""Benchmarks of sentence pairs: one module and its data each, and the registry that names them.

To add one: write a module beside these with a function `load_pairs` and a function `describe`
(see `registry.py`), put its data below `bias_audit/probes/`, and add a line to the registry.
"""
