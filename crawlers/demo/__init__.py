"""The demo site: a wiki, a news site and a social timeline for crawls that need no network."""
