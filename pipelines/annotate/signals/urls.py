"""The address of a document in one form, so that the same page under two spellings has one hash.

The rules of `canonical_url`, after RFC 3986, 6.2; what might tell two pages apart stays as it is:

- white space at the ends goes, tabs and line breaks inside too
- scheme and host are in lower case, the host in IDNA, without the dot of the root; `www.` stays, `http` is not `https`
- the scheme's own port goes, and an empty one
- percent-encoding: letters, digits and `-._~` are never encoded, what no URL may hold (and a stray `%`) always is, as
  UTF-8 and in capital digits; all else stays as it was written
- the dots of a path are followed (`/a/../b` is `/b`); slashes at its end go, an empty path is `/`
- parameters of tracking.toml and empty ones leave the query, the others keep their order; an empty query goes
- the fragment goes, but one that begins with `!` names a page (https://developers.google.com/search/docs/ajax-crawling)

courlan, which extraction brings along, was not taken: it sorts parameters, drops some that name pages (`source`, `uid`),
leaves `%7e` and `/../` in paths, and takes two to three times as long.
"""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

URL_HASH = pa.binary(16)
PORTS = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}

_PARTS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)
_BREAKS = re.compile(r"[\t\n\r]")
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_HOST_NAME = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+|\[[0-9a-f:.]+\]")
_ODD = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~!$&'()*+,;=:@/?#\[\]-]")
"""What is looked at: an encoded byte, or a character that no URL may hold as it is."""
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def canonicalize_url(url: str) -> str | None:
    """The one form of an address, by the rules above; None for what has no scheme or no host that can be one. Twice is as once."""
    match = _PARTS.fullmatch(_BREAKS.sub("", url.strip()))
    if match is None:
        return None
    scheme = match[1].lower()
    authority = _canonicalize_authority(match[2], scheme)
    if authority is None:
        return None
    query, fragment = _canonicalize_query(_percent_encode(match[4] or "")), match[5] or ""
    ends = (f"?{query}" if query else "") + (
        f"#{_percent_encode(fragment)}" if fragment.startswith("!") else ""
    )
    return f"{scheme}://{authority}{_canonicalize_path(_percent_encode(match[3]))}{ends}"


def _percent_encode(part: str) -> str:
    """The normal form of percent-encoding in a path, query or fragment."""
    return _ODD.sub(_encode_match, part)


def _encode_match(match: re.Match[str]) -> str:
    found = match[0]
    if len(found) == 3:
        char = chr(int(found[1:], 16))
        return char if char in _UNRESERVED else found.upper()
    return "".join(f"%{byte:02X}" for byte in found.encode("utf-8", "replace"))


def _canonicalize_authority(authority: str, scheme: str) -> str | None:
    """User, host and port as they stand in the canonical form; None where the host or the port cannot be one."""
    user, at, rest = authority.rpartition("@")
    match = _HOST.fullmatch(rest)
    name = _canonicalize_host(match[1]) if match else None
    if match is None or name is None:
        return None
    port = (match[2] or "").lstrip("0")
    return (
        _percent_encode(user)
        + at
        + name
        + (f":{port}" if port and port != PORTS.get(scheme) else "")
    )


def _canonicalize_host(host: str) -> str | None:
    """A host in lower case, by IDNA 2003 (which Python brings along) in ASCII; None for what cannot be one."""
    low = (unquote(host) if "%" in host else host).lower()
    if not low.isascii():
        try:
            low = low.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return None
    low = low.rstrip(".")
    return low if _HOST_NAME.fullmatch(low) else None


def _canonicalize_path(path: str) -> str:
    """Without `.` and `..` (RFC 3986, 5.2.4) and without slashes at its end."""
    if "/." in path:
        kept: list[str] = []
        for segment in path.split("/")[1:]:
            if segment == "..":
                if kept:
                    kept.pop()
            elif segment != ".":
                kept.append(segment)
        path = "/" + "/".join(kept)
    return path.rstrip("/") or "/"


def _canonicalize_query(query: str) -> str:
    prefixes, names = load_tracking_parameters()
    pairs = [pair for pair in query.split("&") if pair]
    lows = [pair.partition("=")[0].lower() for pair in pairs]
    return "&".join(
        pair
        for pair, low in zip(pairs, lows, strict=True)
        if low not in names and not low.startswith(prefixes)
    )


@lru_cache(maxsize=1)
def load_tracking_parameters() -> tuple[tuple[str, ...], frozenset[str]]:
    """The beginnings of names, and the whole names, of tracking.toml."""
    lists = tomllib.loads((Path(__file__).parent / "tracking.toml").read_text(encoding="utf-8"))
    return tuple(lists["prefixes"]), frozenset(lists["names"])


def hash_url(url: str) -> bytes | None:
    """XXH3-128 of the canonical address; None where there is none."""
    canonical = canonicalize_url(url)
    return None if canonical is None else xxhash.xxh3_128_digest(canonical.encode())


def are_canonical(urls: pa.Array) -> pa.Array:
    """bool: which addresses (a `string` column) are seen to be in their canonical form; of the others some may be too."""
    form, tracked = _compile_canonical_forms()
    return pc.and_not(pc.match_substring_regex(urls, form), pc.match_substring_regex(urls, tracked))


@lru_cache(maxsize=1)
def _compile_canonical_forms() -> tuple[str, str]:
    """What most addresses that are canonical match, and what none with a parameter of tracking.toml fails to, for RE2."""
    char = r"[A-Za-z0-9_~!$'()*+,;=:@\[\]-]|%[0189A-F][0-9A-F]|%2[0-9A-CF]"
    host = r"(?:[a-z0-9_-]+\.)*[a-z0-9_-]+"
    path = rf"/|(?:/+(?:{char}|&)(?:{char}|[&.])*)+"
    pair = rf"(?:{char}|[./?])+"
    prefixes, names = load_tracking_parameters()
    begins, whole = "|".join(map(re.escape, prefixes)), "|".join(map(re.escape, sorted(names)))
    form = rf"\A[a-z][a-z0-9+.-]*://{host}(?:{path})(?:\?{pair}(?:&{pair})*)?\z"
    return form, rf"(?i)[?&](?:{begins}|(?:{whole})(?:[=&]|\z))"


def hash_urls(urls: pa.Array) -> pa.Array:
    """`url_hash` of a column of addresses: each distinct one is looked at once, and in Python if it may need a change."""
    distinct = pc.dictionary_encode(urls)
    hashes = _hash_distinct(distinct.dictionary)
    return hashes.take(distinct.indices) if len(hashes) else pa.nulls(len(urls), URL_HASH)


def _hash_distinct(urls: pa.Array) -> pa.Array:
    """The same of a column without nulls."""
    odd = pc.invert(are_canonical(urls))
    made = pa.array([canonicalize_url(url) for url in urls.filter(odd).to_pylist()], pa.string())
    forms = pc.replace_with_mask(urls, odd, made).cast(pa.binary()).to_numpy(zero_copy_only=False)
    return pa.array(
        [form if form is None else xxhash.xxh3_128_digest(form) for form in forms], URL_HASH
    )
