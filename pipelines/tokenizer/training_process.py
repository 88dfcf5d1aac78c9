"""Train the tokenizer in a process of its own: it shows how far it is, can be stopped, and gives its memory back.

sentencepiece holds the interpreter's lock for minutes and keeps gigabytes of heap afterwards. How far it is only its log
tells, which goes to a file that the parent looks at.
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

LOOK_SECONDS = 0.5
TAIL_BYTES = 4096
_SIZE = re.compile(rb" size=(\d+) all=")


def train_apart(
    work: Callable[..., Any], arguments: tuple[Any, ...], *, log: Path, pieces: int
) -> Any:
    """`work(*arguments)` in a spawned process; `log` is its stderr, in which merges up to `pieces` are counted.

    Raises what it raised, and Stopped where it was killed, as for want of memory.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_serve, args=(theirs, str(log), work, arguments), daemon=True)
    child.start()
    theirs.close()
    try:
        with Progress("tokenizer", total=pieces, unit="pieces") as bar:
            while not ours.poll(LOOK_SECONDS):
                bar.update(count_logged_pieces(log))
        answer = ours.recv()
    except EOFError:
        child.join()
        raise Stopped(
            f"the process that trains the tokenizer died ({child.exitcode}); the same command continues. "
            "Where memory ran out, make tokenizer.sample_bytes smaller"
        ) from None
    finally:
        child.kill()
        child.join()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def count_logged_pieces(log: Path) -> int:
    """How many pieces the log's last such line speaks of; 0 before the first."""
    if not log.exists():
        return 0
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        found = _SIZE.findall(file.read())
    return int(found[-1]) if found else 0


def _serve(
    pipe: "Connection[Any, Any]", log: str, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 2)
    try:
        answer = work(*arguments)
    except Exception as error:
        answer = error
    pipe.send(answer)
