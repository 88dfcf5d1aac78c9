"""Crawl configurations: the shipped ones load, impossible ones are refused before any request."""

import re

import pytest

from crawlers import config as config_module
from crawlers.config import CrawlConfig, Recrawl, user_agent
from gristmill import __version__
from gristmill.config import load
from gristmill.errors import ConfigError

WIKI = {"kind": "wiki", "name": "w", "api": "https://w.example.org/w/api.php"}


def config(*sources, **changes) -> CrawlConfig:
    return CrawlConfig.model_validate({"sources": sources or (WIKI,), **changes})


@pytest.mark.parametrize("name", ["default.toml", "demo.toml"])
def test_the_shipped_configurations_load(repository, name):
    assert load(CrawlConfig, repository / "configs" / "crawl" / name).sources


def test_the_default_crawl_has_all_kinds_both_languages_and_a_budget_but_no_contact(repository):
    default = load(CrawlConfig, repository / "configs" / "crawl" / "default.toml")
    assert {source.kind for source in default.sources} == {"wiki", "news", "social"}
    assert {"en", "zh"} <= {source.lang for source in default.sources}
    assert default.budget is not None and default.politeness.delay >= 1 and not default.demo.serve
    with pytest.raises(ConfigError, match="contact"):
        user_agent(default)


def test_the_demo_crawl_asks_only_hosts_that_cannot_exist(repository):
    text = (repository / "configs" / "crawl" / "demo.toml").read_text()
    assert all(host.endswith(".demo.test") for host in re.findall(r"http://([^/\"]+)", text))


@pytest.mark.parametrize(
    "contact", ["me@example.org", "https://example.org/crawl", " http://a.org/x "]
)
def test_a_contact_is_an_address_or_a_page(contact):
    assert user_agent(config(contact=contact)) == f"gristmill/{__version__} (+{contact.strip()})"


@pytest.mark.parametrize(
    "contact",
    ["", "me", "me@home", "example.org", "https://", "me@example.org and more", "a@b.c\r\nX: y"],
)
def test_anything_else_is_refused(contact):
    with pytest.raises(ConfigError, match="contact"):
        user_agent(config(contact=contact))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sources": []}, "sources"),
        ({"sources": [WIKI, WIKI]}, "two sources are called"),
        ({"sources": [{**WIKI, "name": "Not A Name"}]}, "name"),
        ({"sources": [{**WIKI, "api": "https://w.example.org/index.php"}]}, "api"),
        ({"sources": [{"kind": "news", "name": "n"}]}, "needs `sites` or `feeds`"),
        (
            {"sources": [{"kind": "news", "name": "n", "feeds": ["ftp://e.org/f"]}]},
            "not an http address",
        ),
        (
            {"sources": [{"kind": "social", "name": "s", "server": "https://s.example/path"}]},
            "server",
        ),
        ({"sources": [{**WIKI, "max_documents": 0}]}, "max_documents"),
        ({"sources": [WIKI], "policy": "anything"}, "policy"),
        ({"sources": [WIKI], "shard": "3/2"}, "there are only 2"),
        ({"sources": [WIKI], "shard": "0/2"}, "shard"),
        ({"sources": [WIKI], "politeness": {"pages_per_host": 0}}, "pages_per_host"),
        ({"sources": [WIKI], "politeness": {"seconds_per_host": 0}}, "seconds_per_host"),
        ({"sources": [WIKI], "politeness": {"backoff": -1}}, "backoff"),
        ({"sources": [WIKI], "recrawl": {"documents": -1}}, "documents"),
        ({"sources": [{"kind": "blog", "name": "b"}]}, "kind"),
    ],
)
def test_impossible_crawls_are_refused(table, message, tmp_path):
    import json

    def inline_table(found):
        return "{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in found.items()) + "}"

    told = {
        key: inline_table(value) if isinstance(value, dict) else json.dumps(value)
        for key, value in table.items()
    }
    lines = [f"{key} = {value}" for key, value in told.items() if key != "sources"]
    inline = ", ".join(map(inline_table, table["sources"]))
    path = tmp_path / "crawl.toml"
    path.write_text("\n".join([*lines, f"sources = [{inline}]"]))
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(CrawlConfig, path)


def test_the_budget_is_known_only_where_every_source_has_one():
    other = {**WIKI, "name": "v", "max_documents": 7}
    assert config(other, {**WIKI, "max_documents": 5}).budget == 12
    assert config(other, WIKI).budget is None


def test_what_is_asked_again_is_due_after_its_hours_or_never(monkeypatch):
    monkeypatch.setattr(config_module.time, "time", lambda: 1000.0)
    again = Recrawl()
    assert (again.discovery, again.documents, again.failed) == (24, 720, 24)
    assert [again.due(hours) for hours in (24, 0, 0.5, None)] == [1000 + 86400, 1000, 2800, None]


def test_a_host_has_no_limits_of_a_call_unless_they_are_given():
    polite = config().politeness
    assert (polite.pages_per_host, polite.bytes_per_host, polite.seconds_per_host) == (
        None,
        None,
        None,
    )
