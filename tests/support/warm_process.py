"""A process that has imported everything heavy, and forks a copy of itself for each program that a test starts.

Started by `processes.py` with the number of a connected socket. A request is a JSON object with `argv`, `cwd`, `env`, `new_session`
and `keep`, beside the descriptors of the three streams and of `keep`; the answer is the process id of the fork. A fork runs the
program as a new interpreter would: as `__main__`, with its own folder, environment, streams, signals and ending.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import logging
import os
import pkgutil
import runpy
import signal
import socket
import struct
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import processes

from crawlers.demo.text import library

HEAVY = (
    "reports.commands",
    "crawlers.crawl",
    "scrapy.crawler",
    "scrapy.core.downloader.handlers.http11",
    "scrapy.extensions.corestats",
    "scrapy.extensions.logcount",
    "scrapy.extensions.logstats",
    "scrapy.extensions.memusage",
    "scrapy.extensions.telnet",
    "scrapy.extensions.throttle",
    "scrapy.logformatter",
    "scrapy.statscollectors",
    "tldextract",
    "apache_beam.runners.portability.fn_api_runner",
    "pipelines.compiling",
    "pipelines.decide.jobs",
    "pipelines.pack.jobs",
    "pipelines.prepare",
    "torch",
    "transformers",
    "datasets",
)
"""What a new process would spend its first seconds on."""

LOADED_BY_NAME = (
    "crawlers",
    "crawlers.sources",
    "training",
    "training.tasks",
    "bias_audit",
    "bias_audit.benchmarks",
    "bias_audit.scorers",
    "scrapy.downloadermiddlewares",
    "scrapy.spidermiddlewares",
)
"""Packages of which every module is imported: what a command loads only once it is running."""

REACTOR = "twisted.internet.reactor"
SIZE = struct.Struct("!q")
ARG_START = 45  # proc(5): field 48 of /proc/PID/stat, the first being the third
MOST_DESCRIPTORS = 16
OUT_OF_THE_WAY = 200


def import_heavy() -> None:
    """Import only: threads of torch, Beam and Arrow start when something is run, and do not survive a fork."""
    for name in HEAVY:
        importlib.import_module(name)
    for package in LOADED_BY_NAME:
        for module in pkgutil.iter_modules(
            importlib.import_module(package).__path__, f"{package}."
        ):
            importlib.import_module(module.name)
    # A reactor holds an epoll descriptor, which forks would share.
    assert REACTOR not in sys.modules, f"an import installed {REACTOR}"
    for kernel in kernels():
        load_compiled(kernel)
    # Beam says on import what it misses, by which the root logger gets a handler that other commands do not have.
    logging.getLogger().handlers.clear()


def kernels() -> Iterator[Any]:
    """Every function that numba compiles in the modules loaded so far, once."""
    from numba.core.dispatcher import Dispatcher

    seen: set[int] = set()
    for module in list(sys.modules.values()):
        if not getattr(module, "__name__", "").startswith(("pipelines.", "bias_audit.")):
            continue
        for value in vars(module).values():
            if isinstance(value, Dispatcher) and id(value) not in seen:
                seen.add(id(value))
                yield value


def load_compiled(kernel: Any) -> None:
    """Load the compiled forms of a kernel from numba's cache; nothing is compiled and nothing is run."""
    cache = getattr(kernel._cache, "_cache_file", None)
    for signature, *_ in cache._load_index() if cache is not None else ():
        # `compile` looks into the cache first. A kernel that is not in it waits until it is used.
        kernel.compile(signature)


def serve(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for every request; returns only in a fork, with the request and its descriptors."""
    while True:
        header, descriptors, *_ = socket.recv_fds(channel, SIZE.size, MOST_DESCRIPTORS)
        if not header:  # the process that we fork for has ended
            os._exit(0)
        request = json.loads(read_exactly(channel, SIZE.unpack(header)[0]))
        # The one in between ends at once, so that whoever asked becomes the fork's parent and can wait for it.
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child == 0:
                channel.close()
                return request, list(descriptors)
            channel.sendall(SIZE.pack(child))
            os._exit(0)
        os.waitpid(between, 0)
        with contextlib.suppress(OSError):  # who asked may have been killed
            channel.sendall(SIZE.pack(0))
        for descriptor in descriptors:
            os.close(descriptor)


def leave_a_nursery(descriptors: list[int]) -> tuple[dict[str, Any], list[int]] | None:
    """Fork a nursery for this process, while it has no threads; returns only in a fork of that one what it shall be."""
    ours, theirs = socket.socketpair()
    if os.fork():
        theirs.close()
        processes.inherit(ours)
        return None
    ours.close()
    for (
        descriptor
    ) in descriptors:  # who reads the streams of our parent waits for its end, not for ours
        os.close(descriptor)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # sent to a whole group; we end when our parent has ended
        signal.signal(number, signal.SIG_IGN)
    return serve(theirs)


def read_exactly(channel: socket.socket, size: int) -> bytes:
    """So many bytes of a stream."""
    data = bytearray()
    while len(data) < size:
        data += channel.recv(size - len(data))
    return bytes(data)


def become(request: dict[str, Any], descriptors: list[int], set_by_imports: dict[str, str]) -> None:
    """Turn this fork into the process that was asked for, up to the program itself."""
    # Out of the way first: a descriptor may have come with the number at which another one is needed.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, OUT_OF_THE_WAY) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for number, descriptor in zip([0, 1, 2, *request["keep"]], moved, strict=True):
        os.dup2(descriptor, number, inheritable=number < 3)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(set_by_imports | request["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    extra = request["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = ["", *(folder for folder in extra if folder and folder not in sys.path)]
    show_command_line([sys.executable, *request["argv"]])


def show_command_line(words: list[str]) -> None:
    """Let the system show these words as our command line, by which the engine knows its workers.

    It reads them from where they lay when the warm process was started, which was with an argument as long as we may need.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[ARG_START]), int(fields[ARG_START + 1])
    line = b"\0".join(word.encode() for word in words)[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, line, len(line))


def run_program(flag: str, program: str, arguments: list[str]) -> None:
    """What `python -c program arguments` or `python -m program arguments` does."""
    sys.argv = [flag, *arguments]
    if flag == "-m":
        sys.modules.pop(
            program, None
        )  # a new interpreter would not have it yet, and runpy would warn
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    # No file of ours, so that a `spawn` of multiprocessing does not run this one in its child.
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    exec(compile(program, "<string>", "exec"), vars(main))


def main() -> None:
    """Import, serve, and in a fork run the program that was asked for, to the end of an interpreter."""
    signal.pthread_sigmask(
        signal.SIG_SETMASK, []
    )  # whoever started us may have blocked some for a moment
    before = dict(os.environ)
    import_heavy()
    set_by_imports = {
        name: value for name, value in os.environ.items() if before.get(name) != value
    }
    processes.start_warm_elsewhere()
    processes.read_library_once()
    library.read_docstrings()
    gc.freeze()  # the garbage collector of a fork would otherwise copy every page
    request, descriptors = serve(socket.socket(fileno=int(sys.argv[1])))
    if request["new_session"]:
        os.setsid()
    nested = leave_a_nursery(descriptors)
    if nested is not None:
        request, descriptors = nested
        if request["new_session"]:
            os.setsid()
    become(request, descriptors, set_by_imports)
    end(exit_code_of(request["argv"]))


def exit_code_of(argv: list[str]) -> int:
    """Run the program; returns its exit code, or minus the signal that ends a program which it interrupts."""
    try:
        run_program(argv[0], argv[1], argv[2:])
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return int(ending.code or 0)
        sys.stderr.write(f"{ending.code}\n")
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def end(code: int) -> NoReturn:
    """End as an interpreter does, but leave it to the system to free a million objects: that takes 0.5 s."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
