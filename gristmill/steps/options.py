"""The options that all steps share, declared once, and the decorator that gives them to a command.

A command takes `StepOptions` first and its own options after it. `@takes_step_options("in", ...)`
says which of the shared ones it has, so no command repeats their types, defaults and help texts.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from gristmill.config import C, load
from gristmill.errors import ConfigError, InputError, UserError
from gristmill.runs.finished import FinishedRun, find_latest, open_run

UNIT_POWERS = " KMGT"
"""Powers of 1,024 by their letter; a blank is bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """What the shared options say, with the defaults of those that a command does not have."""

    inputs: tuple[str, ...] = ()
    config: Path | None = None
    overrides: tuple[str, ...] = ()
    out: Path = Path("runs")
    workers: int = 1
    runner: str = "FnApiRunner"
    memory: int = 1 << 30
    """Bytes."""
    force: bool = False
    as_json: bool = False
    runner_options: tuple[str, ...] = ()
    """What stands behind `--`: Beam's own options."""

    def load_config(self, model: type[C]) -> C:
        """Read --config and apply --set."""
        return load(model, self.config, self.overrides)

    def open_single_run(self, step: str) -> FinishedRun:
        """Open the run that --in names, or else the newest one of `step` below --out."""
        if len(self.inputs) > 1:
            raise InputError(
                "this step reads one run",
                {"given": ", ".join(self.inputs)},
                "give --in once",
            )
        if self.inputs:
            return open_run(self.inputs[0], step=step)
        return find_latest(self.out, step)


Shared = tuple[str, Any, Any]
"""The parameter's name, its annotation for typer, its default."""

SHARED_OPTIONS: dict[str, Shared] = {
    "in": (
        "inputs",
        Annotated[
            list[str] | None,
            typer.Option("--in", help="Run folder, file, folder, glob or URL; repeatable."),
        ],
        None,
    ),
    "config": (
        "config",
        Annotated[Path | None, typer.Option("--config", help="TOML file.")],
        None,
    ),
    "set": (
        "overrides",
        Annotated[
            list[str] | None,
            typer.Option(
                "--set", help="Override one key, e.g. optim.learning_rate=3e-4; repeatable."
            ),
        ],
        None,
    ),
    "out": (
        "out",
        Annotated[Path, typer.Option("--out", help="Folder of the run folders.")],
        Path("runs"),
    ),
    "workers": (
        "workers",
        Annotated[
            int,
            typer.Option(
                "--workers",
                min=1,
                help="How many work at once, as threads or processes; the output does not depend on it.",
            ),
        ],
        1,
    ),
    "runner": (
        "runner",
        Annotated[
            str,
            typer.Option("--runner", help="FnApiRunner, or PortableRunner with LOOPBACK workers."),
        ],
        "FnApiRunner",
    ),
    "memory": (
        "memory",
        Annotated[
            str,
            typer.Option(
                "--memory", help="Working memory for grouping band keys, e.g. 512M or 4G."
            ),
        ],
        "1G",
    ),
    "force": (
        "force",
        Annotated[
            bool,
            typer.Option(
                "--force", help="Throw a finished run of these settings away and redo it."
            ),
        ],
        False,
    ),
    "json": (
        "as_json",
        Annotated[
            bool, typer.Option("--json", help="Print one JSON object instead of the run's path.")
        ],
        False,
    ),
}
"""The nine options, in the order in which --help shows them."""

PASS_ON = {"allow_extra_args": True}
"""Context settings of a command that hands what stands behind `--` to Beam."""


def takes_step_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the shared options `names`, in the order of `SHARED_OPTIONS`.

    The command's first parameter receives them as `StepOptions`; its other parameters stay its own
    and stand behind the shared ones. With "runner" it also takes what stands behind `--`.
    """
    shared = {name: SHARED_OPTIONS[name] for name in SHARED_OPTIONS if name in names}
    unknown = set(names) - set(SHARED_OPTIONS)
    if unknown:
        raise ValueError(f"not shared options: {', '.join(sorted(unknown))}")

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own_parameters = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        parameters = [
            inspect.Parameter(
                parameter, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
            for parameter, annotation, default in shared.values()
        ]
        if "runner" in names:
            parameters.insert(0, _keyword_parameter("context", typer.Context))
        parameters += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own_parameters]

        @wraps(command)
        def run_command(**values: Any) -> None:
            options = _collect_options(values)
            own_values = {each.name: values[each.name] for each in own_parameters}
            command(options, **own_values)

        # typer reads a command's options from its signature and annotations
        signature = inspect.Signature(parameters)
        run_command.__signature__ = signature  # type: ignore[attr-defined]
        run_command.__annotations__ = {each.name: each.annotation for each in parameters}
        del run_command.__wrapped__
        return run_command

    return decorate


def _keyword_parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)


def _collect_options(values: dict[str, Any]) -> StepOptions:
    """Build `StepOptions` from the values that typer parsed."""
    names = [parameter for parameter, _, _ in SHARED_OPTIONS.values()]
    fields = {name: values[name] for name in names if name in values}
    for repeatable in ("inputs", "overrides"):
        if repeatable in fields:
            fields[repeatable] = tuple(fields[repeatable] or ())
    if "memory" in fields:
        fields["memory"] = parse_bytes(fields["memory"])
    if "context" in values:
        fields["runner_options"] = read_runner_options(values["context"].args)
    return StepOptions(**fields)


def parse_bytes(text: str) -> int:
    """Read `512M`, `4G` or `1048576` as bytes; raise ConfigError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    size = 0
    if match:
        power = UNIT_POWERS.index(match[2].upper() or " ")
        size = int(float(match[1]) * 1024**power)
    if size < 1:
        raise ConfigError("not a size", {"given": text}, "write it like 512M or 4G")
    return size


def read_runner_options(arguments: list[str]) -> tuple[str, ...]:
    """Return the options behind `--`, for Beam.

    Raises UserError for a word that is not an option: an input without --in.
    """
    stray = [word for word in arguments if not word.startswith("--")]
    if stray:
        raise UserError(
            "an argument too many",
            {"given": " ".join(stray)},
            f"inputs are named with --in: --in {stray[0]}",
        )
    return tuple(arguments)
