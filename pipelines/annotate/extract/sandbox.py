"""Run the extraction of untrusted pages in a child process with limits: a page that kills it costs only itself.

Deterministic limits come first (extract.html); a time limit in the child is the recorded last resort. SIGALRM does not
work inside Beam's workers and a thread cannot be stopped, so the child is a spawned process that can be killed.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import resource
import signal
from dataclasses import asdict
from types import TracebackType
from typing import Any

from pipelines.annotate.config import PageLimits
from pipelines.annotate.extract.html import ExtractedPage, PageTooBig, extract_page


class ExtractionError(Exception):
    """A page could not be extracted; `reason` goes to the quarantine."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Sandbox:
    """A child process that extracts pages, started at first use and again after it died."""

    def __init__(self, limits: PageLimits) -> None:
        self.limits = limits
        self._child: multiprocessing.process.BaseProcess | None = None
        self._pipe: multiprocessing.connection.Connection[Any, Any] | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def extract(self, html: str, url: str | None) -> ExtractedPage:
        """Extract one page. Raises ExtractionError for one that is too big, too slow, too hungry or deadly.

        A page that runs out of memory is tried again in a new child: what earlier pages left behind must not decide.
        """
        new = self._pipe is None
        try:
            return self._extract(html, url)
        except ExtractionError as error:
            if error.reason != "extraction_memory":
                raise
            self.close()
            if new:
                raise
        return self._extract(html, url)

    def _extract(self, html: str, url: str | None) -> ExtractedPage:
        pipe = self._start()
        try:
            pipe.send((html, url))
            if not pipe.poll(self.limits.seconds):
                raise ExtractionError("extraction_timeout", f"more than {self.limits.seconds:g} s")
            answer = pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = self._child.exitcode if self._child else None
            self.close()
            raise ExtractionError("extraction_crashed", f"the extractor died ({code})") from None
        except ExtractionError:
            self.close()
            raise
        if isinstance(answer, tuple):
            raise ExtractionError(*answer)
        return ExtractedPage(**answer)

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.join()
        if self._pipe is not None:
            self._pipe.close()
        self._child = self._pipe = None

    def _start(self) -> "multiprocessing.connection.Connection[Any, Any]":
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._child = context.Process(target=_serve, args=(theirs, self.limits), daemon=True)
            self._child.start()
            theirs.close()
        return self._pipe


def _serve(pipe: "multiprocessing.connection.Connection[Any, Any]", limits: PageLimits) -> None:
    """The child's loop: extract what comes through the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    # The parent may end, or be ended, at any time: that is nobody's fault here.
    with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
        while True:
            html, url = pipe.recv()
            pipe.send(_extract_or_explain(html, url, limits))


def _extract_or_explain(
    html: str, url: str | None, limits: PageLimits
) -> dict[str, Any] | tuple[str, str]:
    try:
        return asdict(extract_page(html, url, limits))
    except PageTooBig as error:
        return "page_too_big", str(error)
    except MemoryError:
        return "extraction_memory", f"more than {limits.memory_bytes} bytes"
    except Exception as error:  # whatever a broken page provokes in the parsers
        return "extraction_failed", f"{type(error).__name__}: {str(error)[:200]}"
