"""The shared core of Gristmill: the document, the run folder, and what every room needs to read and
write them.
"""

__version__ = "0.1.0"
