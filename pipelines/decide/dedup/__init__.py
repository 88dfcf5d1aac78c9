"""Find duplicates from hashes and signatures, never from text."""
