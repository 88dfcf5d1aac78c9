"""The registry of capture formats: by the name in a capture's metadata to its parser."""

from gristmill.captures import mastodon, mediawiki
from gristmill.captures.items import CaptureFormat

FORMATS: tuple[CaptureFormat, ...] = (mediawiki.FORMAT, mastodon.FORMAT)

_BY_NAME = {format.name: format for format in FORMATS}


def find_format(name: str) -> CaptureFormat | None:
    """The format of this name; None for a capture that is not split into items (an HTML page)."""
    return _BY_NAME.get(name)
