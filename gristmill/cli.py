"""The command `gristmill`: gathers the rooms' commands, and turns every ending into a message and
an exit code.
"""

import errno
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from gristmill.errors import GristmillError, Stopped, UserError
from gristmill.progress import say as say  # rooms say what they do through the command line
from gristmill.runs.finished import TELEMETRY, FinishedRun

GROUP = "gristmill.commands"

InOption = Annotated[
    list[str] | None,
    typer.Option("--in", help="Run folder, file, folder, glob or URL; repeatable."),
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the run folders.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override one key, e.g. optim.learning_rate=3e-4; repeatable."),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Throw a finished run of these settings away and redo it.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of the run's path.")
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        help="How many work at once, as threads or processes; the output does not depend on it.",
    ),
]


def conclude(
    run: FinishedRun,
    summary: Iterable[str] = (),
    *,
    as_json: bool = False,
    extra: Mapping[str, Any] | None = None,
    exit_code: int | None = None,
) -> None:
    """End a command: the summary to stderr, the run folder's path (or one JSON object) as stdout's
    last line.

    Exits with `exit_code`, or else the code the run was sealed with: a rerun that finds the work
    done ends as the first run did.
    """
    say(*summary)
    if as_json:
        print(
            json.dumps(
                {
                    "path": str(run.path),
                    "counts": dict(run.counts),
                    **_timings(run),
                    **(extra or {}),
                }
            )
        )
    else:
        print(run.path)
    code = run.exit_code if exit_code is None else exit_code
    if code:
        raise typer.Exit(code)


def _timings(run: FinishedRun) -> dict[str, Any]:
    if not run.store.has(TELEMETRY):
        return {}
    return {"telemetry": json.loads(run.store.read(TELEMETRY))}


def build_app() -> typer.Typer:
    """The whole command line: the core's commands and those of every room that is installed."""
    app = typer.Typer(
        name="gristmill",
        help=(
            "From web text to a language model you can answer for: crawl, prepare, pretrain, audit."
        ),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for entry in sorted(entry_points(group=GROUP), key=_order):
        entry.load()(app)
    return app


def _order(entry: EntryPoint) -> tuple[int, str]:
    """Rooms in the order the data flows; strangers' rooms after ours."""
    order = ["reports", "crawl", "prepare", "train", "audit"]
    return (order.index(entry.name) if entry.name in order else len(order), entry.name)


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if debug:
        os.environ["GRISTMILL_DEBUG"] = "1"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _stop)
    code = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    # An ending process need not look for garbage among the million objects that Beam made: 0.4 s.
    gc.freeze()
    if code == Stopped.exit_code:
        # A runner's own threads may wait for a dead worker for ever.
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        # Not `app(...)`: typer would turn Ctrl-C into code 130, and the EOFError of a cut gzip into
        # a silent abort.
        command = typer.main.get_command(build_app())
        with command.make_context(
            "gristmill", list(sys.argv[1:] if arguments is None else arguments)
        ) as context:
            command.invoke(context)
        return 0
    except typer.Exit as ended:
        return int(ended.exit_code)
    except GristmillError as error:
        return _tell(error)
    except KeyboardInterrupt as stop:
        cause = stop.args[0] if stop.args else "Ctrl-C"
        return _tell(Stopped(f"stopped by {cause}; the same command continues where it was"))
    except Exception as error:
        return _tell_any(error)


def _stop(number: int, _: FrameType | None) -> None:
    """As Ctrl-C does: an `except Exception` around one record must not swallow the signal."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def _tell(error: GristmillError) -> int:
    if os.environ.get("GRISTMILL_DEBUG"):
        traceback.print_exc()
    text = str(error)
    if not isinstance(error, Stopped):
        text = f"error: {text}"
    elif not text.startswith("stopped"):
        text = f"stopped: {text}"
    say(text)
    return error.exit_code


_FULL = ("the disk is full", "free some space and run it again; it continues")
_OF_THE_MACHINE = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL) | {
    number: (os.strerror(number), "choose another folder, or ask for the right to use this one")
    for number in (errno.EACCES, errno.EPERM, errno.EROFS)
}


def _tell_any(error: Exception) -> int:
    if hasattr(error, "exit_code") and hasattr(error, "show"):  # the command line's own complaints
        error.show()
        return int(error.exit_code)
    if isinstance(error, typer.Abort):
        return Stopped.exit_code
    if isinstance(error, BrokenPipeError):  # `gristmill runs list | head`
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the last flush must not complain again
        return 1
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        what, fix = _OF_THE_MACHINE[error.errno]
        where = {"file": error.filename} if error.filename else {}
        return _tell(UserError(what, where, fix))
    if os.environ.get("GRISTMILL_DEBUG"):
        traceback.print_exc()
    last = traceback.extract_tb(error.__traceback__)[-1]
    say(
        f"internal error: {type(error).__name__}: {error}",
        f"  at      {Path(last.filename).name}:{last.lineno} in {last.name}",
        "  to fix  this is a fault of Gristmill: run it with `gristmill --debug ...` "
        "and report what it prints",
    )
    return 1
