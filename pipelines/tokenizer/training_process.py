"""Train the tokenizer in a process of its own: it shows progress, can be stopped, and frees memory.

sentencepiece holds the interpreter's lock for minutes and keeps gigabytes of heap afterwards. Only
its log tells how far it is; the log goes to a file that the parent looks at.
"""

import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gristmill.errors import Stopped
from gristmill.progress import Progress

POLL_SECONDS = 0.5

TAIL_BYTES = 4096
"""Bytes at the log's end that are searched for the newest count."""

MERGE_COUNT = re.compile(rb" size=(\d+) all=")
"""How sentencepiece's trainer logs the pieces it has."""


def train_apart(
    work: Callable[..., Any], arguments: tuple[Any, ...], *, log: Path, pieces: int
) -> Any:
    """Return `work(*arguments)`, done in a spawned process.

    `log` receives its stderr, in which merges up to `pieces` are counted. Raises what it raised, and
    Stopped where it was killed, for example for want of memory.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run_work, args=(sender, str(log), work, arguments), daemon=True)
    child.start()
    sender.close()  # the child's copy stays open: its death is seen as the end of the pipe
    try:
        with Progress("tokenizer", total=pieces, unit="pieces") as bar:
            while not receiver.poll(POLL_SECONDS):
                bar.update(count_logged_pieces(log))
        answer = receiver.recv()
    except EOFError:
        child.join()
        raise Stopped(
            f"the process that trains the tokenizer died ({child.exitcode});"
            " the same command continues. "
            "Where memory ran out, make tokenizer.sample_bytes smaller"
        ) from None
    finally:
        child.kill()
        child.join()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def count_logged_pieces(log: Path) -> int:
    """Return the newest number of pieces in the log; 0 before the first."""
    if not log.exists():
        return 0
    with open(log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        counts = MERGE_COUNT.findall(file.read())
    return int(counts[-1]) if counts else 0


def _run_work(
    pipe: "Connection[Any, Any]", log: str, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """Do the work in the child, and send its result or its exception."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the parent, which ends this process
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        answer = work(*arguments)
    except Exception as error:
        answer = error
    pipe.send(answer)
