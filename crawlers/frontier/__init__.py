"""The frontier of a crawl: what to ask next, what became of it, and captures not yet in a WARC file."""
