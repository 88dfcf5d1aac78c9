"""Turn HTML, wikitext and API answers into plain, normalized text."""
