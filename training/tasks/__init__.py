"""What models are trained for: one module a task, and the registry that names them.

A task owns its samples, the fields of its batches, its network's heads, its losses and its
Hugging Face form. To add one: write its module beside these, and add a line to `registry.py`.
"""
