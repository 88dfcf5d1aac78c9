"""The crawling room: fetches Wikipedia, news and social sources with their rights attached and writes them as WARC files."""
