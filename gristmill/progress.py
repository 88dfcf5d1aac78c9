"""What people read on stderr: messages, and progress with rate and time left - a bar on a terminal,
else plain lines.
"""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress

SECONDS_BETWEEN_LINES = 10.0
SECONDS_UNCHANGED = 60.0
"""After so long a line tells that the work is alive, though nothing was finished."""


def say(*lines: str) -> None:
    """Print to stderr: what people read. stdout is for programs."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


class Progress:
    """Counts work done and shows it.

    >>> with Progress("annotate", total=200, unit="splits") as bar:
    ...     bar.advance(1, note="12 quarantined")
    """

    def __init__(
        self, label: str, *, total: float | None = None, unit: str = "", done: float = 0.0
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self._before = (
            done  # what an earlier, stopped run did is no work of this one: not in the rate
        )
        self._note = ""
        self._started = self._last_line = time.monotonic()
        self._told = self.done
        self._bar: RichProgress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> "Progress":
        self._started = self._last_line = time.monotonic()
        if sys.stderr.isatty():
            texts = [
                TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("label", "state")
            ]
            columns = (
                texts[0],
                BarColumn(),
                texts[1],
            )  # no markup: a note may hold a name from the web
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=self.total, label=self.label, state="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if (
            kind is None
            and time.monotonic() - self._started >= SECONDS_BETWEEN_LINES
            and self._told != self.done
        ):
            self._line()

    def advance(self, amount: float = 1.0, *, note: str | None = None) -> None:
        """Count `amount` more as done; `note` is shown behind the figures."""
        self.update(self.done + amount, note=note)

    def update(self, done: float, *, note: str | None = None) -> None:
        """Set how much is done in all."""
        self.done = done
        self._note = self._note if note is None else note
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=done, state=self.state(now - self._started))
        elif now - self._last_line >= (
            SECONDS_UNCHANGED if self._told == done else SECONDS_BETWEEN_LINES
        ):
            self._line()

    def state(self, elapsed: float) -> str:
        """The figures as text: done of total, rate, time left."""
        rate = (self.done - self._before) / elapsed if elapsed > 0 else 0.0
        of = "" if self.total is None else f"/{_short(self.total)}"
        parts = [f"{_short(self.done)}{of} {self.unit}".rstrip(), f"{_short(rate)}/s"]
        if self.total is not None and self.done >= self.total:
            parts.append(f"in {clock(elapsed)}")
        elif self.total is not None and rate > 0:
            parts.append(f"ETA {clock((self.total - self.done) / rate)}")
        return " | ".join([*parts, *([self._note] if self._note else [])])

    def _line(self) -> None:
        self._last_line, self._told = time.monotonic(), self.done
        say(f"{self.label}  {self.state(self._last_line - self._started)}")


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (size if letter != 'k' else 1e3):.1f}{letter}"
    return f"{number:.0f}" if number >= 100 or number == int(number) else f"{number:.1f}"


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    all_minutes, remainder = divmod(round(seconds), 60)
    hours, minutes = divmod(all_minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{remainder:02}"
    return f"{minutes}:{remainder:02}"
