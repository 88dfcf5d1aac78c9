"""Every error a user may see, as a tree whose branches are the command's exit codes.

```
GristmillError        1   something of ours is broken
├── UserError         2   says what is wrong, where, and what to do
│   ├── ConfigError       a configuration that cannot be run
│   ├── InputError        an input that is missing or cannot be read
│   ├── RunError          a run folder that is unfinished, locked, damaged or of another step
│   └── MissingExtra      a package that this command needs is not installed
├── GateFailed        4   done, but a gate of the audit failed
└── Stopped          75   stopped by a signal or a dead worker; running it again resumes
```
"""

from collections.abc import Mapping


class GristmillError(Exception):
    """The root of the tree; on its own it means a fault of Gristmill."""

    exit_code = 1


class UserError(GristmillError):
    """A mistake the user can mend: `what` is wrong, `where` (label -> value) it is, how `to fix`
    it.
    """

    exit_code = 2

    def __init__(
        self, what: str, where: Mapping[str, object] | None = None, fix: str | None = None
    ) -> None:
        self.what, self.where, self.fix = what, dict(where or {}), fix
        super().__init__(self._text())

    def _text(self) -> str:
        rows = [(label, str(value)) for label, value in self.where.items()]
        if self.fix:
            rows.append(("to fix", self.fix))
        width = max((len(label) for label, _ in rows), default=0)
        return "\n".join([self.what, *(f"  {label:<{width}}  {value}" for label, value in rows)])


class ConfigError(UserError):
    """A configuration that cannot be run: an unknown key, a wrong type, an impossible setting."""


class InputError(UserError):
    """An input that is missing, empty or of a kind we cannot read."""


class RunError(UserError):
    """A run folder that is unfinished, locked by another process, damaged, or of another step."""


class MissingExtra(UserError):
    """A package that this command, or a setting, needs is not installed."""

    def __init__(self, package: str, extra: str, needed_by: str | None = None) -> None:
        super().__init__(
            f"{package} is not installed",
            {"needed by": needed_by or f"the commands of the extra `{extra}`"},
            f"run `make setup`, or `pip install 'gristmill[{extra}]'`",
        )


class GateFailed(GristmillError):
    """The run is complete, but a gate of the audit failed."""

    exit_code = 4


class Stopped(GristmillError):
    """A signal or a dead worker ended the run early; the same command resumes it."""

    exit_code = 75
