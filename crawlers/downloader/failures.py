"""Why a download brought no answer: a short reason for the ledger, and a description for people."""

from __future__ import annotations

import gzip
import zlib
from typing import NamedTuple

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)


class FailureKind(NamedTuple):
    """One class of errors, its reason in the ledger, and its description."""

    error: type[BaseException]
    reason: str
    description: str


# The first kind that fits counts: subclasses stand before their base.
FAILURE_KINDS = (
    FailureKind(gzip.BadGzipFile, "broken_encoding", "its content encoding is broken"),
    FailureKind(zlib.error, "broken_encoding", "its content encoding is broken"),
    FailureKind(CannotResolveHostError, "unknown_host", "DNS lookup failed"),
    FailureKind(DownloadConnectionRefusedError, "connection_refused", "connection refused"),
    FailureKind(ConnectionRefusedError, "connection_refused", "connection refused"),
    FailureKind(DownloadTimeoutError, "timeout", "timed out"),
    FailureKind(DownloadCancelledError, "too_large", "its answer is too large"),
    FailureKind(ResponseDataLossError, "dataloss", "the connection broke off"),
    FailureKind(DownloadFailedError, "connection_failed", "connection failed"),
    FailureKind(OSError, "connection_failed", "connection failed"),
)

IGNORED_REQUESTS = (("redirections", "redirects"), ("DOWNLOAD_MAXSIZE", "too_large"))
"""A part of the message of Scrapy's IgnoreRequest, and the reason it stands for.

Scrapy raises the same class after too many redirects and when an answer unpacks to too much, so only
the message says which it was.
"""


def reason_of(error: BaseException) -> str:
    """Return the ledger's reason for a download that failed."""
    if isinstance(error, IgnoreRequest):
        for message_part, reason in IGNORED_REQUESTS:
            if message_part in str(error):
                return reason
        return "connection_failed"
    if "dataloss" in str(error).lower():
        return "dataloss"
    kind = _find_kind(error)
    return "connection_failed" if kind is None else kind.reason


def describe_failure(error: BaseException) -> str:
    """Describe a failed download for people; an error of another kind is shown as it is."""
    kind = _find_kind(error)
    return f"{type(error).__name__}: {error}" if kind is None else kind.description


def _find_kind(error: BaseException) -> FailureKind | None:
    for kind in FAILURE_KINDS:
        if isinstance(error, kind.error):
            return kind
    return None
