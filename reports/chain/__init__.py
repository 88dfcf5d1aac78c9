"""The report on a chain of runs: facts collected from run folders, and one self-contained HTML page."""
