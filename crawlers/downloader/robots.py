"""robots.txt after RFC 9309: what it says to one crawler about one address. Pure functions over bytes.

Grouping, spelling and precedence are those of google/robotstxt, whose 142 cases all hold; `Crawl-delay`, `Content-Signal`
and `Content-Usage`, no parts of the RFC, are read too, since sites use them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

LARGEST = 500 << 10
"""Bytes of a robots.txt that are read: the RFC asks for 500 KiB at least (2.5)."""
LONGEST_LINE = 2083 * 8
"""Bytes of a line that are read: eight times the longest address that browsers took."""
TOKEN = re.compile(r"[A-Za-z_-]+")
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
FIELDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("user-agent", ("user-agent", "useragent", "user agent")),
    ("allow", ("allow",)),
    ("disallow", ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")),
    ("sitemap", ("sitemap", "site-map")),
    ("crawl-delay", ("crawl-delay", "crawldelay")),
    ("content-signal", ("content-signal",)),
    ("content-usage", ("content-usage",)),
)
"""A field, and how its name may begin: misspellings that crawlers know count as what was meant."""
AI_AGENTS = (
    "ccbot",
    "gptbot",
    "google-extended",
    "claudebot",
    "anthropic-ai",
    "applebot-extended",
    "meta-externalagent",
    "bytespider",
)
"""Tokens of crawlers, and of switches, by which text reaches the training of models."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One `Allow` or `Disallow`: its pattern percent-encoded, and with the codes of unreserved characters decoded."""

    allow: bool
    encoded: str
    decoded: str


@dataclass(frozen=True, slots=True)
class Use:
    """One `Content-Signal` or `Content-Usage`: the pattern of the paths it is for (none: all), and its words."""

    name: str
    pattern: str
    value: str


@dataclass(slots=True)
class Group:
    """The rules for some agents (lower case; `*` is everybody), the pause they are asked for in seconds, their uses."""

    agents: list[str] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    delays: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Robots:
    """A robots.txt as it was read."""

    groups: tuple[Group, ...] = ()
    sitemaps: tuple[str, ...] = ()

    def allows(self, agent: str, url: str) -> bool:
        """Whether `agent` may ask for `url`, both compared as they are written: as google/robotstxt does."""
        return _allowed([(rule.allow, rule.encoded) for rule in self._rules(agent)], path_of(url))

    def permits(self, agent: str, url: str) -> bool:
        """Whether `url` is allowed as it is written and also with unreserved characters decoded (RFC 9309, 2.2.2).

        google/robotstxt leaves `%62` as it is, the RFC decodes it: where the two differ, no is the answer.
        """
        rules = [(rule.allow, rule.decoded) for rule in self._rules(agent)]
        return self.allows(agent, url) and _allowed(rules, decoded(path_of(url)))

    def crawl_delay(self, agent: str) -> float | None:
        """The seconds between two requests that an agent is asked for; None where nothing is said."""
        delays = [delay for group in self.groups for delay in group.delays]
        for name in (agent.lower(), "*"):
            if found := [seconds for names, seconds in delays if name in names]:
                return max(found)
        return None

    def uses(self, agent: str, url: str) -> tuple[str, ...]:
        """What is said to an agent about the use of an address: values of Content-Signal and Content-Usage.

        Of those that begin with a path the longest that matches holds alone (draft-ietf-aipref-attach), in each of the two.
        """
        path, told = (
            encoded(path_of(url)),
            [use for group in self._groups(agent) for use in group.uses],
        )
        held = [use for use in told if matches(use.pattern, path)]
        longest = {
            name: max(len(use.pattern) for use in held if use.name == name)
            for name in {u.name for u in held}
        }
        return tuple(
            dict.fromkeys(use.value for use in held if len(use.pattern) == longest[use.name])
        )

    def shut_to(self, agents: Sequence[str], url: str) -> tuple[str, ...]:
        """Those of some agents that have groups of their own which forbid them an address."""
        named = {name for group in self.groups for name in group.agents}
        return tuple(agent for agent in agents if agent in named and not self.allows(agent, url))

    def _groups(self, agent: str) -> list[Group]:
        own = [group for group in self.groups if agent.lower() in group.agents]
        return own or [group for group in self.groups if "*" in group.agents]

    def _rules(self, agent: str) -> list[Rule]:
        return [rule for group in self._groups(agent) for rule in group.rules]


EVERYTHING_FORBIDDEN = Robots((Group(["*"], [Rule(False, "/", "/")]),))
"""What a robots.txt that cannot be had stands for (RFC 9309, 2.3.1.4)."""
NOTHING_FORBIDDEN = Robots()
"""What no robots.txt stands for (2.3.1.3)."""


def read_robots(body: bytes) -> Robots:
    """Read a robots.txt; no bytes are an error, lines that say nothing known are left out."""
    groups: list[Group] = []
    sitemaps: list[str] = []
    open_agents: list[str] = []
    ruled = delayed = True
    whole = (
        body if len(body) <= LARGEST else body[: body.rfind(b"\n", 0, LARGEST) + 1]
    )  # half a rule may mean another
    for name, value in _lines(whole):
        match name:
            case "user-agent":
                if ruled:
                    groups.append(Group())
                if ruled or delayed:
                    open_agents = []
                ruled = delayed = False
                agent = _agent(value)
                groups[-1].agents.append(agent)
                open_agents.append(agent)
            case "sitemap":
                sitemaps.append(value)
            case "allow" | "disallow" if groups:
                ruled = True
                groups[-1].rules += _rules(name == "allow", value)
            case "crawl-delay" if groups and (seconds := _seconds(value)) is not None:
                delayed = True
                groups[-1].delays.append((tuple(open_agents), seconds))
            case "content-signal" | "content-usage" if groups:
                groups[-1].uses.append(_use(name, value))
    return Robots(tuple(groups), tuple(dict.fromkeys(sitemaps)))


UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
"""Byte order marks of an encoding that the RFC does not know and Windows writes: read as bytes such rules would say nothing."""


def _lines(body: bytes) -> Iterator[tuple[str, str]]:
    """Fields that are known, in their customary spelling, with their values."""
    encoding = UTF16.get(body[:2]) if b"\x00" in body[2:6] else None
    text = (
        body[2:].decode(encoding, "replace").encode()
        if encoding
        else body.removeprefix(b"\xef\xbb\xbf")
    )
    for raw in re.split(rb"\r\n|\r|\n", text):
        line = (
            raw[:LONGEST_LINE]
            .partition(b"#")[0]
            .decode("utf-8", "surrogateescape")
            .strip(" \t\v\f\0")
        )
        key, colon, value = line.partition(":")
        if not colon:
            parts = line.split()
            key, value = parts if len(parts) == 2 else ("", "")
        if name := _field(key.strip().lower()):
            yield name, value.strip(" \t\v\f\0")


def _field(key: str) -> str | None:
    return next((name for name, spellings in FIELDS if key.startswith(spellings)), None)


def _agent(value: str) -> str:
    """The product token of a User-agent line, up to the first character that no token has; `*`, maybe with words behind."""
    if value[:1] == "*" and (len(value) == 1 or value[1].isspace()):
        return "*"
    found = TOKEN.match(value)
    return found[0].lower() if found else ""


def _rules(allow: bool, value: str) -> Iterator[Rule]:
    """The rule of a line; none for an empty one. Allowing `index.html` allows the folder too, as Google has it."""
    if value:
        yield Rule(allow, encoded(value), decoded(value))
    folder, slash, file = value.rpartition("/")
    if allow and slash and file.startswith("index.htm"):
        yield from _rules(True, f"{folder}/$")


def _use(name: str, value: str) -> Use:
    path, _, words = value.partition(" ") if value.startswith(("/", "*")) else ("", "", value)
    return Use(name, encoded(path), words.strip())


def _seconds(value: str) -> float | None:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})(?:\s.*)?", value, re.ASCII)
    return float(found[1]) if found else None


def path_of(url: str) -> str:
    """Path and query of an address, as rules are compared with; `/` where it has none."""
    rest = url.partition("#")[0]
    scheme, slashes, behind = rest.partition("//")
    if slashes and not re.search(r"[/?;]", scheme):
        rest = behind
    start = re.search(r"[/?;]", rest)
    path = rest[start.start() :] if start else "/"
    return path if path.startswith("/") else f"/{path}"


def encoded(pattern: str) -> str:
    """A pattern with bytes beyond ASCII percent-encoded, and the digits of all such codes in upper case."""
    data = pattern.encode("utf-8", "surrogateescape")
    text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in data)
    return re.sub(r"%[0-9a-fA-F]{2}", lambda code: code[0].upper(), text)


def decoded(pattern: str) -> str:
    """A pattern as `encoded` has it, with the codes of unreserved characters (RFC 3986, 2.3) as these characters."""
    return re.sub(r"%[0-9A-F]{2}", _plain, encoded(pattern))


def _plain(code: re.Match[str]) -> str:
    byte = unquote_to_bytes(code[0])
    return byte.decode("ascii") if byte[0] in UNRESERVED else code[0]


def _allowed(rules: Sequence[tuple[bool, str]], path: str) -> bool:
    """The longest pattern that matches decides; of two equally long the one that allows (2.2.2)."""
    longest = {True: 0, False: 0}
    for allow, pattern in rules:
        if len(pattern) > longest[allow] and matches(pattern, path):
            longest[allow] = len(pattern)
    return longest[True] >= longest[False]


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern (`*` is any run of characters, `$` at its end the end) matches the beginning of a path, in linear time."""
    anchored = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*") if anchored else pattern.split("*")
    if not path.startswith(first):
        return False
    place = len(first)
    if anchored and not others:
        return place == len(path)
    last = others.pop() if anchored else ""
    for part in others:
        place = path.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return not anchored or (path.endswith(last) and len(path) - len(last) >= place)
