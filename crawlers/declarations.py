"""The step of this room as schedulers see it; importing this file needs no framework."""

from gristmill.steps.step import StepDeclaration

CRAWL = StepDeclaration(
    name="crawl",
    command="crawl",
    summary="fetch wiki, news and social sources with their rights, and seal a crawl session",
    reads=(),
    config="crawlers.config:CrawlConfig",
    entry_modules=("crawlers.crawl",),
)
STEPS = (CRAWL,)
