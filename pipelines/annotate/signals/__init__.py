"""Signals: the columns that `annotate` adds to documents, and the custom columns of users.

To add a number that rules can bound, name its column in the kernel that computes it (`FIELDS` of
`kernels/quality.py` or `LINE_FIELDS` of `kernels/lines.py`) and write its value there; then describe
it in `SIGNALS` of `table.py`, at the same position (an assertion compares the names). A whole number
is also listed in `table._get_type`.
"""
