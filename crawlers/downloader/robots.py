"""Reads robots.txt (RFC 9309): what it says to one crawler about one address. Pure functions over bytes.

Grouping, spelling and precedence are those of google/robotstxt, whose 142 test cases all hold.
`Crawl-delay`, `Content-Signal` and `Content-Usage` are not in the RFC; they are read since sites use them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

LARGEST_ROBOTS = 500 << 10
"""Bytes of a robots.txt that are read: the RFC asks for 500 KiB at least (2.5)."""
LONGEST_LINE = 2083 * 8
"""Bytes of a line that are read: eight times the longest address that browsers took (google/robotstxt)."""
PRODUCT_TOKEN = re.compile(r"[A-Za-z_-]+")
# RFC 3986, 2.3: these characters mean the same with and without percent-encoding.
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
BLANKS = " \t\v\f\0"
FIELD_SPELLINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("user-agent", ("user-agent", "useragent", "user agent")),
    ("allow", ("allow",)),
    ("disallow", ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")),
    ("sitemap", ("sitemap", "site-map")),
    ("crawl-delay", ("crawl-delay", "crawldelay")),
    ("content-signal", ("content-signal",)),
    ("content-usage", ("content-usage",)),
)
"""A field, and how its name may begin: crawlers accept these misspellings for what was meant."""
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
class RobotsRule:
    """One `Allow` or `Disallow`: its pattern percent-encoded, and with unreserved characters decoded."""

    allow: bool
    encoded: str
    decoded: str


@dataclass(frozen=True, slots=True)
class UsageRule:
    """One `Content-Signal` or `Content-Usage`: the pattern of its paths (empty: all), and its value."""

    name: str
    pattern: str
    value: str


@dataclass(frozen=True, slots=True)
class CrawlDelay:
    """The seconds between two requests that some agents are asked for."""

    agents: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class RobotsGroup:
    """The lines for some agents (lower case; `*` is every agent)."""

    agents: list[str] = field(default_factory=list)
    rules: list[RobotsRule] = field(default_factory=list)
    delays: list[CrawlDelay] = field(default_factory=list)
    usage: list[UsageRule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Robots:
    """A robots.txt as it was read."""

    groups: tuple[RobotsGroup, ...] = ()
    sitemaps: tuple[str, ...] = ()

    def allows(self, agent: str, url: str) -> bool:
        """Whether an agent may fetch a URL, comparing both as they are written (google/robotstxt)."""
        rules = [(rule.allow, rule.encoded) for rule in self._rules(agent)]
        return _is_allowed(rules, get_path(url))

    def permits(self, agent: str, url: str) -> bool:
        """Whether a URL is allowed as it is written and also with unreserved characters decoded.

        google/robotstxt leaves `%62` as it is, RFC 9309 (2.2.2) decodes it. Where the two differ, the
        answer is no.
        """
        if not self.allows(agent, url):
            return False
        rules = [(rule.allow, rule.decoded) for rule in self._rules(agent)]
        return _is_allowed(rules, decode_unreserved(get_path(url)))

    def crawl_delay(self, agent: str) -> float | None:
        """The longest delay an agent is asked for, in seconds; None if there is none."""
        delays = [delay for group in self.groups for delay in group.delays]
        for name in (agent.lower(), "*"):
            seconds = [delay.seconds for delay in delays if name in delay.agents]
            if seconds:
                return max(seconds)
        return None

    def usage(self, agent: str, url: str) -> tuple[str, ...]:
        """The values of Content-Signal and Content-Usage for an agent and a URL.

        Of the lines of one field that begin with a path, only those with the longest matching path
        hold (draft-ietf-aipref-attach).
        """
        path = encode_pattern(get_path(url))
        matching = [
            usage
            for group in self._groups(agent)
            for usage in group.usage
            if matches_path(usage.pattern, path)
        ]
        longest: dict[str, int] = {}
        for usage in matching:
            longest[usage.name] = max(longest.get(usage.name, 0), len(usage.pattern))
        values = [use.value for use in matching if len(use.pattern) == longest[use.name]]
        return tuple(dict.fromkeys(values))

    def refused_agents(self, agents: Sequence[str], url: str) -> tuple[str, ...]:
        """Those of some agents that are named in a group and forbidden the URL."""
        named = {name for group in self.groups for name in group.agents}
        return tuple(agent for agent in agents if agent in named and not self.allows(agent, url))

    def _groups(self, agent: str) -> list[RobotsGroup]:
        """The groups that name an agent; where none does, those for every agent."""
        specific = [group for group in self.groups if agent.lower() in group.agents]
        return specific or [group for group in self.groups if "*" in group.agents]

    def _rules(self, agent: str) -> list[RobotsRule]:
        return [rule for group in self._groups(agent) for rule in group.rules]


EVERYTHING_FORBIDDEN = Robots((RobotsGroup(["*"], [RobotsRule(False, "/", "/")]),))
"""What a robots.txt that cannot be fetched stands for (RFC 9309, 2.3.1.4)."""
NOTHING_FORBIDDEN = Robots()
"""What a missing robots.txt stands for (RFC 9309, 2.3.1.3)."""


def describe_unavailable(status: int) -> str | None:
    """Say why a status means that robots.txt cannot be fetched; None if the server did answer.

    Any other status is an answer, 404 too: then there is no robots.txt (RFC 9309, 2.3.1.3).
    """
    return f"HTTP {status}" if status >= 500 or status == 429 else None


def read_robots(body: bytes) -> Robots:
    """Read a robots.txt. Nothing is an error: lines that mean nothing are left out."""
    reader = _RobotsReader()
    for name, value in _iter_fields(_cut_at_line(body)):
        reader.add_field(name, value)
    return Robots(tuple(reader.groups), tuple(dict.fromkeys(reader.sitemaps)))


@dataclass(slots=True)
class _RobotsReader:
    """The state between the lines of a robots.txt: which group and which agents are open."""

    groups: list[RobotsGroup] = field(default_factory=list)
    sitemaps: list[str] = field(default_factory=list)
    _open_agents: list[str] = field(default_factory=list)
    _has_rules: bool = True
    _has_delay: bool = True

    def add_field(self, name: str, value: str) -> None:
        """Read one field; rules before the first user-agent line belong to nobody."""
        match name:
            case "user-agent":
                self._add_agent(value)
            case "sitemap":
                self.sitemaps.append(value)
            case "allow" | "disallow" if self.groups:
                self._has_rules = True
                self.groups[-1].rules += _iter_rules(name == "allow", value)
            case "crawl-delay" if self.groups:
                self._add_delay(value)
            case "content-signal" | "content-usage" if self.groups:
                self.groups[-1].usage.append(_read_usage(name, value))

    def _add_agent(self, value: str) -> None:
        # A crawl delay ends the list of agents it is for, but only rules end a group.
        if self._has_rules:
            self.groups.append(RobotsGroup())
        if self._has_rules or self._has_delay:
            self._open_agents = []
        self._has_rules = False
        self._has_delay = False
        agent = _read_agent(value)
        self.groups[-1].agents.append(agent)
        self._open_agents.append(agent)

    def _add_delay(self, value: str) -> None:
        seconds = _read_seconds(value)
        if seconds is None:
            return
        self._has_delay = True
        self.groups[-1].delays.append(CrawlDelay(tuple(self._open_agents), seconds))


def _cut_at_line(body: bytes) -> bytes:
    """Cut a body that is too large at the end of a line: half a rule may mean something else."""
    if len(body) <= LARGEST_ROBOTS:
        return body
    end = body.rfind(b"\n", 0, LARGEST_ROBOTS) + 1
    return body[:end]


UTF16_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
"""Byte order marks of UTF-16, which the RFC does not allow and Windows writes."""


def _decode_utf16(body: bytes) -> bytes:
    """Turn UTF-16 into UTF-8: its rules, read as bytes, would say nothing."""
    encoding = UTF16_MARKS.get(body[:2])
    if encoding is None or b"\x00" not in body[2:6]:
        return body.removeprefix(b"\xef\xbb\xbf")
    return body[2:].decode(encoding, "replace").encode()


def _iter_fields(body: bytes) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of the fields that are known, names in their customary spelling."""
    for raw_line in re.split(rb"\r\n|\r|\n", _decode_utf16(body)):
        without_comment = raw_line[:LONGEST_LINE].partition(b"#")[0]
        line = without_comment.decode("utf-8", "surrogateescape").strip(BLANKS)
        key, value = _split_line(line)
        name = _find_field(key.strip().lower())
        if name is not None:
            yield name, value.strip(BLANKS)


def _split_line(line: str) -> tuple[str, str]:
    key, colon, value = line.partition(":")
    if colon:
        return key, value
    # google/robotstxt takes two words without a colon for a field, too.
    words = line.split()
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def _find_field(key: str) -> str | None:
    for name, spellings in FIELD_SPELLINGS:
        if key.startswith(spellings):
            return name
    return None


def _read_agent(value: str) -> str:
    """Read the product token of a User-agent line; `*` may be followed by other words."""
    if value[:1] == "*" and (len(value) == 1 or value[1].isspace()):
        return "*"
    token = PRODUCT_TOKEN.match(value)
    return token[0].lower() if token else ""


def _iter_rules(allow: bool, value: str) -> Iterator[RobotsRule]:
    """Yield the rules of a line, none if it is empty.

    Allowing `index.html` allows its folder too, as Google documents it.
    """
    if value:
        yield RobotsRule(allow, encode_pattern(value), decode_unreserved(value))
    folder, slash, file = value.rpartition("/")
    if allow and slash and file.startswith("index.htm"):
        yield from _iter_rules(True, f"{folder}/$")


def _read_usage(name: str, value: str) -> UsageRule:
    if not value.startswith(("/", "*")):
        return UsageRule(name, "", value.strip())
    path, _, words = value.partition(" ")
    return UsageRule(name, encode_pattern(path), words.strip())


def _read_seconds(value: str) -> float | None:
    number = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})(?:\s.*)?", value, re.ASCII)
    return float(number[1]) if number else None


def get_path(url: str) -> str:
    """Return path and query of a URL, which rules are compared with; `/` if it has none."""
    remainder = url.partition("#")[0]
    scheme, slashes, behind = remainder.partition("//")
    if slashes and not re.search(r"[/?;]", scheme):
        remainder = behind
    start = re.search(r"[/?;]", remainder)
    path = remainder[start.start() :] if start else "/"
    return path if path.startswith("/") else f"/{path}"


def encode_pattern(pattern: str) -> str:
    """Percent-encode bytes beyond ASCII, and write the digits of all such codes in upper case."""
    data = pattern.encode("utf-8", "surrogateescape")
    text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in data)
    return re.sub(r"%[0-9a-fA-F]{2}", lambda code: code[0].upper(), text)


def decode_unreserved(pattern: str) -> str:
    """Encode a pattern, then decode the codes of unreserved characters (RFC 3986, 2.3)."""
    return re.sub(r"%[0-9A-F]{2}", _decode_code, encode_pattern(pattern))


def _decode_code(code: re.Match[str]) -> str:
    byte = unquote_to_bytes(code[0])
    return byte.decode("ascii") if byte[0] in UNRESERVED else code[0]


def _is_allowed(rules: Sequence[tuple[bool, str]], path: str) -> bool:
    """Let the longest matching pattern decide; of two equally long ones, the one that allows (2.2.2)."""
    longest = {True: 0, False: 0}
    for allow, pattern in rules:
        if len(pattern) > longest[allow] and matches_path(pattern, path):
            longest[allow] = len(pattern)
    return longest[True] >= longest[False]


def matches_path(pattern: str, path: str) -> bool:
    """Whether a pattern matches the beginning of a path, in linear time.

    `*` stands for any characters; `$` at the end of the pattern stands for the end of the path.
    """
    is_anchored = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*") if is_anchored else pattern.split("*")
    if not path.startswith(first):
        return False
    position = len(first)
    if is_anchored and not others:
        return position == len(path)
    last = others.pop() if is_anchored else ""
    # Taking the first occurrence of each part is enough: a later one never leaves more to match.
    for part in others:
        position = path.find(part, position)
        if position < 0:
            return False
        position += len(part)
    if not is_anchored:
        return True
    return path.endswith(last) and len(path) - len(last) >= position
