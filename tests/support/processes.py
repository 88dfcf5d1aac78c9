"""`Popen` and `run` as in `subprocess`, whose Python programs are forks of a process that has imported everything heavy.

In: command lines such as `[sys.executable, "-c", code, *arguments]`. Out: real children of the test, which take signals
and can be waited for. A new interpreter would spend its first seconds on importing torch, Beam and numba.
"""

import ctypes
import functools
import inspect
import json
import multiprocessing
import multiprocessing.context
import multiprocessing.util
import os
import shlex
import socket
import struct
import subprocess
import sys
import threading
from multiprocessing import popen_spawn_posix, resource_tracker
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
SIZE = struct.Struct("!q")
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PIPE_ENDS = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
ROOM_FOR_A_COMMAND_LINE = "_" * 4096
READ_WHEN_LOADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""What libraries look up when they are loaded, so that a fork cannot choose it any more."""


class Nursery:
    """A warm process that forks programs as children of ours. It ends when our end of the socket closes."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.handing_over = threading.Lock()

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """Start a program in a fork and return its process id.

        The fork's first parent ends at once. While we are a "subreaper" the kernel makes us its next parent.
        """
        body = json.dumps(request).encode()
        with self.handing_over:
            _prctl(PR_SET_CHILD_SUBREAPER, 1)
            try:
                socket.send_fds(self.channel, [SIZE.pack(len(body))], descriptors)
                self.channel.sendall(body)
                answer = self.channel.recv(
                    2 * SIZE.size, socket.MSG_WAITALL
                )  # comes when that parent has ended
            finally:
                _prctl(PR_SET_CHILD_SUBREAPER, 0)
        assert len(answer) == 2 * SIZE.size, "the warm process has gone"
        return int(SIZE.unpack(answer[: SIZE.size])[0])


_inherited: list[Nursery] = []


def inherit(channel: socket.socket) -> None:
    """Called in a fork: what it starts itself is forked by the nursery at the other end."""
    _inherited[:] = [Nursery(channel)]


def nursery() -> Nursery:
    """The nursery of this process."""
    return _inherited[0] if _inherited else _start_nursery()


@functools.cache
def _start_nursery() -> Nursery:
    channel, other = socket.socketpair()
    folders = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    with other:
        subprocess.Popen(
            [
                sys.executable,
                str(HERE / "warm_process.py"),
                str(other.fileno()),
                ROOM_FOR_A_COMMAND_LINE,
            ],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=REPOSITORY,
            env={**os.environ, **READ_WHEN_LOADED, "PYTHONPATH": os.pathsep.join(folders)},
        )
    return Nursery(channel)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """`subprocess.Popen`; forks for `[sys.executable, "-c" or "-m", ...]` on Linux, else starts as always."""

    def _execute_child(self, *values: Any, **options: Any) -> None:
        names = inspect.signature(super()._execute_child).bind(*values, **options).arguments
        words = words_to_fork(names)
        if not words:
            super()._execute_child(*values, **options)
            return
        ends = [names["p2cread"], names["c2pwrite"], names["errwrite"]]
        session = [value for name, value in names.items() if name.endswith("start_new_session")]
        request = {
            "argv": words[1:],
            "cwd": os.fspath(names["cwd"] or os.getcwd()),
            "env": dict(os.environ if names["env"] is None else names["env"]),
            "new_session": any(session),
            "keep": [],
        }
        self.pid = nursery().fork(
            request, [number if end == -1 else end for number, end in enumerate(ends)]
        )
        self._child_created = True
        self._close_pipe_fds(*(names[end] for end in PIPE_ENDS))


def words_to_fork(names: dict[str, Any]) -> list[str]:
    """The command line where these arguments of `_execute_child` ask for nothing that only a new process has, else []."""
    arguments = names["args"]
    if sys.platform != "linux" or names["preexec_fn"] or names["pass_fds"]:
        return []
    if names["shell"]:  # as Beam starts its workers: a shell would only run this one command
        words = shlex.split(arguments) if isinstance(arguments, str) else []
    else:
        words = (
            [os.fspath(word) for word in arguments] if isinstance(arguments, list | tuple) else []
        )
    runs_python = len(words) > 2 and words[0] == sys.executable and words[1] in ("-c", "-m")
    return words if runs_python else []


class _SpawnPopen(popen_spawn_posix.Popen):
    """Starts a process of multiprocessing as a fork of the warm one."""

    def _launch(self, process_obj: Any) -> None:
        # It starts a process by the same function, with signals blocked, which our forks would inherit.
        resource_tracker.ensure_running()
        with mock.patch.object(multiprocessing.util, "spawnv_passfds", _spawn_by_fork):
            super()._launch(process_obj)


def _spawn_by_fork(_path: object, words: list[Any], keep: tuple[int, ...]) -> int:
    words = [os.fsdecode(word) for word in words]
    argv = words[words.index("-c") :]
    request = {
        "argv": argv,
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "new_session": False,
        "keep": list(keep),
    }
    return nursery().fork(request, [0, 1, 2, *keep])


class _SpawnProcess(multiprocessing.context.SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return _SpawnPopen(process_obj)


class _SpawnContext(multiprocessing.context.SpawnContext):
    Process = _SpawnProcess


def start_warm_elsewhere() -> None:
    """Let Beam's workers and the training of a tokenizer start warm too, which the code under test starts itself.

    Not the sandbox of extraction: its limit of memory counts all that a fork of the warm process has mapped.
    """
    if sys.platform != "linux":
        return
    from apache_beam.runners.portability import local_job_service

    from pipelines.tokenizer import training_process

    local_job_service.subprocess = SimpleNamespace(Popen=Popen)
    training_process.multiprocessing = SimpleNamespace(get_context=lambda _: _SpawnContext())


def read_library_once() -> None:
    """The demo site's text is made of the standard library's docstrings: two seconds for each start of a site."""
    from crawlers.demo.text import library

    for name in ("read_docstrings", "read_topics"):
        function = getattr(library, name)
        if not hasattr(function, "cache_info"):
            setattr(library, name, functools.cache(function))


def run(
    arguments: list[str],
    *,
    input: str | bytes | None = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` by our `Popen`."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(arguments, **options) as process:
        try:
            output, errors = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(arguments, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done
