"""Run folders: the run being written, finished runs, receipts, the ledger, and the files they stand
in.
"""
