"""Between the frontier and the web: scheduling, politeness, robots.txt, rights of sites, captures as WARC."""
