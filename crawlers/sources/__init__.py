"""The spiders: each is a declaration of where a kind of source keeps its documents; what pages hold is read by plain functions."""
