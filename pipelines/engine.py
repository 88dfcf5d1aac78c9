"""Run a Beam pipeline: which runner, how many workers, progress from receipts, and an end when a worker dies.

The local runner is named explicitly: plain DirectRunner first tries to download a binary. Under multi_processing a
killed worker hangs Beam's job for ever, so the launcher watches its children and stops with exit code 75.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from gristmill import receipts
from gristmill.errors import ConfigError, Stopped
from gristmill.progress import Progress

LOCAL_RUNNERS = ("FnApiRunner", "PortableRunner")
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Engine:
    """How to run: none of this changes a byte of the output.

    `mode` says what local workers are: processes (for extraction, which holds the GIL) or threads.
    `beam` are options handed to Beam as they are.
    """

    runner: str = "FnApiRunner"
    workers: int = 1
    beam: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.runner == "DaskRunner":
            raise ConfigError("the Dask runner of Beam 2.77 loses data without an error", {"runner": self.runner})

    def options(self, mode: Literal["processes", "threads"]) -> list[str]:
        """The command-line options that make Beam run this way."""
        if self.runner != "FnApiRunner":
            return [f"--runner={self.runner}", *self.beam]
        if self.workers == 1:
            return ["--runner=FnApiRunner", *self.beam]
        kind = "multi_processing" if mode == "processes" else "multi_threading"
        return [
            "--runner=FnApiRunner",
            f"--direct_running_mode={kind}",
            f"--direct_num_workers={self.workers}",
            *self.beam,
        ]


def run(
    build: Callable[[Any], None],
    engine: Engine,
    *,
    mode: Literal["processes", "threads"],
    label: str,
    folder: Path,
    stages: Mapping[str, int],
) -> None:
    """Build and run one pipeline to its end, showing progress over the receipts of `stages` (name -> splits).

    Raises Stopped when a worker process dies; whatever the pipeline itself raises comes through.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    _quiet()
    if engine.runner not in LOCAL_RUNNERS:
        raise ConfigError(
            "a remote runner needs run folders on shared storage, and this version writes local ones only",
            {"runner": engine.runner, "out": folder.parent},
            "use --runner FnApiRunner, or PortableRunner with LOOPBACK workers",
        )
    before = _children()
    pipeline = beam.Pipeline(options=PipelineOptions(engine.options(mode)))
    build(pipeline)
    job = _Job(lambda: pipeline.run().wait_until_finish())
    with Progress(label, total=sum(stages.values()), unit="splits") as bar:
        while not job.finished.wait(POLL_SECONDS):
            bar.update(sum(receipts.count(folder, stage) for stage in stages))
            _stop_if_one_died(before, engine)
        bar.update(sum(receipts.count(folder, stage) for stage in stages))
    if job.error is not None:
        raise job.error


class _Job:
    """A pipeline running in a thread, so that the main thread can watch and be interrupted."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self.finished = threading.Event()
        self._work = work
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # the main thread raises it again
            self.error = error
        finally:
            self.finished.set()


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _workers(before: set[int]) -> list[psutil.Process]:
    """The worker processes Beam started since `before`."""
    found = []
    for child in psutil.Process().children():
        try:
            if child.pid not in before and any("sdk_worker_main" in word for word in child.cmdline()):
                found.append(child)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            found.append(child)
    return found


def _stop_if_one_died(before: set[int], engine: Engine) -> None:
    """Beam's workers only end when the job does; one that is a zombie before was killed."""
    if engine.workers == 1 or engine.runner != "FnApiRunner":
        return
    for child in psutil.Process().children():
        if child.pid in before:
            continue
        try:
            dead = child.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            dead = False
        if dead:
            time.sleep(POLL_SECONDS)  # a job that is just ending reaps its own workers
            if psutil.pid_exists(child.pid) and child.status() == psutil.STATUS_ZOMBIE:
                for other in _workers(before):
                    other.kill()
                raise Stopped(f"worker process {child.pid} died; the same command continues where it was")


def _quiet() -> None:
    """Beam warns about extras we do not use; its workers log every start."""
    for name in ("apache_beam", "root"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
