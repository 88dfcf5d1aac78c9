"""Crawl configurations: the shipped ones load, impossible ones are refused before any request."""

import re

import pytest

from crawlers.config import CrawlConfig, user_agent
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


@pytest.mark.parametrize("contact", ["me@example.org", "https://example.org/crawl", " http://a.org/x "])
def test_a_contact_is_an_address_or_a_page(contact):
    assert user_agent(config(contact=contact)) == f"gristmill/{__version__} (+{contact.strip()})"


@pytest.mark.parametrize(
    "contact", ["", "me", "me@home", "example.org", "https://", "me@example.org and more", "a@b.c\r\nX: y"]
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
        ({"sources": [{"kind": "news", "name": "n", "feeds": ["ftp://e.org/f"]}]}, "not an http address"),
        ({"sources": [{"kind": "social", "name": "s", "server": "https://s.example/path"}]}, "server"),
        ({"sources": [{**WIKI, "max_documents": 0}]}, "max_documents"),
        ({"sources": [WIKI], "policy": "anything"}, "policy"),
        ({"sources": [{"kind": "blog", "name": "b"}]}, "kind"),
    ],
)
def test_impossible_crawls_are_refused(table, message, tmp_path):
    import json

    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if key != "sources"]
    inline = ", ".join(
        "{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in source.items()) + "}" for source in table["sources"]
    )
    path = tmp_path / "crawl.toml"
    path.write_text("\n".join([*lines, f"sources = [{inline}]"]))
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(CrawlConfig, path)


def test_the_budget_is_known_only_where_every_source_has_one():
    other = {**WIKI, "name": "v", "max_documents": 7}
    assert config(other, {**WIKI, "max_documents": 5}).budget == 12
    assert config(other, WIKI).budget is None
