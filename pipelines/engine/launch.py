"""Run a Beam pipeline: which runner, how many workers, progress from receipts, and an end when a worker dies.

The local runner is named explicitly: plain DirectRunner first tries to download a binary. Beam waits for ever for a
worker process that was killed, so the launcher watches its workers and stops with exit code 75.
"""

import contextlib
import errno
import logging
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from gristmill.errors import ConfigError, Stopped, UserError
from gristmill.progress import Progress
from gristmill.runs import receipts
from pipelines.engine.worker import quiet_beam

LOCAL_RUNNERS = ("FnApiRunner", "PortableRunner")
WORKER = "pipelines.engine.worker"
USER_ERROR = re.compile(
    r"^gristmill\.errors\.(?:User|Config|Input)Error: (.+?)(?: \[while running|\n\n|\Z)",
    re.M | re.S,
)
POLL_SECONDS, MEMORY_SECONDS = 0.1, 1.0

Mode = Literal["processes", "threads"]


@dataclass(frozen=True, slots=True)
class Engine:
    """How to run: none of this changes a byte of the output. `beam` are options handed to Beam as they are."""

    runner: str = "FnApiRunner"
    workers: int = 1
    beam: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.runner == "DaskRunner":
            raise ConfigError(
                "the Dask runner of Beam 2.77 loses data without an error", {"runner": self.runner}
            )
        if self.runner not in LOCAL_RUNNERS:
            raise ConfigError(
                "a remote runner needs run folders on shared storage, and this version writes local ones only",
                {"runner": self.runner},
                "use --runner FnApiRunner, or PortableRunner with LOOPBACK workers",
            )

    def pipeline(self, mode: Mode) -> Any:
        """A new Beam pipeline; `mode` says what several local workers are: processes where work holds the GIL."""
        pipeline = self._pipeline(mode)
        shutil.rmtree(
            pipeline.local_tempdir
        )  # made for Java transforms, which we have none of, and never removed
        return pipeline

    def _pipeline(self, mode: Mode) -> Any:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        logging.getLogger("apache_beam").setLevel(
            logging.CRITICAL
        )  # what fails is raised; the log repeats it in pages
        quiet_beam()  # for workers that are threads of this process
        never_flush_by_time()
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        options = [f"--direct_num_workers={self.workers}", *self.beam]
        if self.runner != "FnApiRunner":
            return beam.Pipeline(options=PipelineOptions([f"--runner={self.runner}", *self.beam]))
        if self.workers > 1 and mode == "threads":
            options.append("--direct_running_mode=multi_threading")
        runner = FnApiRunner(default_environment=self._environment(mode))
        return beam.Pipeline(runner=runner, options=PipelineOptions(options))

    def _environment(self, mode: Mode) -> Any:
        from apache_beam.transforms.environments import (
            EmbeddedPythonEnvironment,
            SubprocessSDKEnvironment,
        )

        if self.workers > 1 and mode == "processes":
            return SubprocessSDKEnvironment.from_command_string(f"{sys.executable} -m {WORKER}")
        return EmbeddedPythonEnvironment.default()


def never_flush_by_time() -> None:
    """Turn off Beam's flushing of data every second: it loses rows without an error.

    `SizeBasedBufferingClosableOutputStream.flush` (Beam 2.77, data_plane.py) hands on what was written, then empties the
    buffer; a timer's thread does so without a lock, and what a worker writes in between is gone. With 0 there is no timer:
    buffers are flushed when they are full and when a bundle ends.
    """
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0


def run_pipeline(
    build: Callable[[Any], None],
    engine: Engine,
    *,
    mode: Mode,
    label: str,
    folder: Path,
    stages: Mapping[str, int],
) -> dict[str, int]:
    """Build and run one pipeline to its end, showing progress over the receipts of `stages` (name -> splits).

    Returns what it took and Beam's counters, for the telemetry: they count a bundle twice that was tried twice. Raises
    Stopped when a worker process dies; whatever the pipeline itself raises comes through.
    """
    pipeline = engine.pipeline(mode)
    build(pipeline)
    total, before = sum(stages.values()), sum(receipts.count(folder, stage) for stage in stages)
    with _Watch() as watch, Progress(label, total=total, unit="splits", done=before) as bar:
        job = _Job(lambda: _run(pipeline))
        peak, looked = _memory(), time.monotonic()
        while not job.finished.wait(POLL_SECONDS):
            if time.monotonic() - looked >= MEMORY_SECONDS:
                peak, looked = max(peak, _memory()), time.monotonic()
            bar.update(sum(receipts.count(folder, stage) for stage in stages))
            watch.check()
        bar.update(sum(receipts.count(folder, stage) for stage in stages))
    if job.error is not None:
        raise reraise_worker_error(job.error)
    return {**job.counters, "workers": engine.workers, "peak_bytes": peak}


def _run(pipeline: Any) -> dict[str, int]:
    """Run to the end; returns the counters."""
    result = pipeline.run()
    result.wait_until_finish()
    return {
        counter.key.metric.name: int(counter.result)
        for counter in result.metrics().query()["counters"]
    }


def _memory() -> int:
    """Bytes of memory of this process and all below it, shared pages shared out (PSS; RSS where the system has none)."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            info = process.memory_full_info()
            total += getattr(info, "pss", info.rss)
    return total


def reraise_worker_error(error: BaseException) -> BaseException:
    """Beam hands a worker's exception on as text; a full disk and what the user can mend stay recognizable."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        if f"[Errno {number}]" in str(error):
            return OSError(number, os.strerror(number))
    if isinstance(error, UserError):  # of a worker within this process; Beam adds where it ran
        return UserError(str(error).partition(" [while running")[0])
    told = USER_ERROR.findall(str(error))
    return UserError(told[-1].strip()) if told else error


class _Job:
    """A pipeline running in a thread, so that the main thread can watch and be interrupted."""

    def __init__(self, work: Callable[[], dict[str, int]]) -> None:
        self.error: BaseException | None = None
        self.counters: dict[str, int] = {}
        self.finished = threading.Event()
        self._work = work
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self.counters = self._work()
        except BaseException as error:  # the main thread raises it again
            self.error = error
        finally:
            self.finished.set()


class _Watch:
    """Notices when a worker process of this job ends with an error while the job goes on.

    Beam waits for each of its workers in a thread, and raises there when one ends badly; the job itself waits for ever.
    """

    def __init__(self) -> None:
        self._deaths: list[str] = []
        self._others: list[threading.ExceptHookArgs] = []

    def __enter__(self) -> "_Watch":
        self._hook = threading.excepthook
        threading.excepthook = self._note
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            _end_workers()
            return  # the process ends now: what Beam's threads complain of until then is only an echo
        threading.excepthook = self._hook
        if not self._deaths:  # what comes with a death is only its echo
            for fault in self._others:
                self._hook(fault)

    def check(self) -> None:
        """Raise Stopped where a worker died; its fellows are ended first."""
        if self._deaths:
            _end_workers()
            raise Stopped(
                f"a worker process died ({self._deaths[0]}); the same command continues where it was"
            )

    def _note(self, fault: threading.ExceptHookArgs) -> None:
        if "Worker subprocess exited" in str(fault.exc_value):
            self._deaths.append(str(fault.exc_value).removeprefix("Worker subprocess exited with "))
        else:
            self._others.append(fault)


def _end_workers() -> None:
    for worker in _workers():
        worker.kill()


def _workers() -> list[psutil.Process]:
    """The living worker processes that this process started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if WORKER in child.cmdline():
                found.append(child)
    return found
