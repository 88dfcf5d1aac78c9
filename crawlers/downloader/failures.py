"""Why a download brought nothing: a short reason for the ledger, and words for people."""

from __future__ import annotations

import gzip
import zlib

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)

KINDS: tuple[tuple[type[BaseException], str, str], ...] = (
    (gzip.BadGzipFile, "broken_encoding", "its content encoding is broken"),
    (zlib.error, "broken_encoding", "its content encoding is broken"),
    (CannotResolveHostError, "unknown_host", "DNS lookup failed"),
    (DownloadConnectionRefusedError, "connection_refused", "connection refused"),
    (ConnectionRefusedError, "connection_refused", "connection refused"),
    (DownloadTimeoutError, "timeout", "timed out"),
    (DownloadCancelledError, "too_large", "its answer is too large"),
    (ResponseDataLossError, "dataloss", "the connection broke off"),
    (DownloadFailedError, "connection_failed", "connection failed"),
    (OSError, "connection_failed", "connection failed"),
)


IGNORED = (("redirections", "redirects"), ("DOWNLOAD_MAXSIZE", "too_large"))
"""What stands in the text of requests that Scrapy gives up: after too many redirects, or while it unpacks too much."""


def reason_of(error: BaseException) -> str:
    """The ledger's reason for a download that broke."""
    if isinstance(
        error, IgnoreRequest
    ):  # Scrapy gives no other kinds: its text says from where it is
        return next((reason for sign, reason in IGNORED if sign in str(error)), "connection_failed")
    if "dataloss" in str(error).lower():
        return "dataloss"
    return next(
        (reason for kind, reason, _ in KINDS if isinstance(error, kind)), "connection_failed"
    )


def words_for(error: BaseException) -> str:
    """What broke, for people; an error of no known kind speaks for itself."""
    return next(
        (words for kind, _, words in KINDS if isinstance(error, kind)),
        f"{type(error).__name__}: {error}",
    )
