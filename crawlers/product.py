"""The name by which this crawler introduces itself, and which robots.txt files may address."""

PRODUCT = "gristmill"
