"""Configuration: a TOML file and `--set a.b=c` overrides become one frozen, typed model that
forbids unknown keys.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import pydantic
from pydantic_core import ErrorDetails

from gristmill.errors import ConfigError
from gristmill.progress import say


class Config(pydantic.BaseModel):
    """The base of every configuration section: frozen, and an unknown key is an error.

    `renamed_keys` maps a key of an earlier version to today's: the old one is still taken, with a
    warning that names the new one. Both at once are refused.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    renamed_keys: ClassVar[Mapping[str, str]] = {}

    @pydantic.model_validator(mode="before")
    @classmethod
    def _accept_renamed_keys(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        current = dict(values)
        for old, new in cls.renamed_keys.items():
            if old not in current:
                continue
            if new in current:
                raise ValueError(f"`{old}` is today called `{new}`: give only `{new}`")
            say(f"warning: the key `{old}` is now called `{new}`; please rename it")
            current[new] = current.pop(old)
        return current


C = TypeVar("C", bound=Config)


def load(model: type[C], path: str | Path | None = None, overrides: Sequence[str] = ()) -> C:
    """Read `path` (TOML; None = all defaults), apply `overrides` ("a.b=c"), and validate as
    `model`.

    Raises ConfigError naming the file, the key, and the nearest key that exists.
    """
    table = _read_toml(Path(path)) if path is not None else {}
    for override in overrides:
        _apply(table, override)
    try:
        return model.model_validate(table)
    except pydantic.ValidationError as error:
        raise _explain(model, error, "the defaults" if path is None else str(path)) from None


def load_config_model(step: str) -> Any:
    """Return the model that a step's configuration file is validated against.

    Rooms name theirs by entry points of the group `gristmill.configs`. Raises ConfigError for an
    unknown step.
    """
    models = {entry.name: entry for entry in entry_points(group="gristmill.configs")}
    if step not in models:
        choices = ", ".join(sorted(models))
        raise ConfigError("no such step", {"given": step}, f"choose one of {choices}")
    return models[step].load()


def dump_toml(config: Config) -> str:
    """Print a configuration as TOML that `load` reads back to an equal model."""
    lines: list[str] = []
    _emit(config.model_dump(mode="json", exclude_none=True), (), lines)
    return "\n".join(lines).strip() + "\n"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            "there is no such configuration file", {"file": path}, _near_file(path)
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fix = (
            "mend that line; strings stand in quotes, and `gristmill config show STEP` prints "
            "a whole valid file"
        )
        raise ConfigError(
            "this configuration is not valid TOML", {"file": path, "problem": error}, fix
        ) from None
    except OSError as error:
        where = {"file": path, "problem": error.strerror}
        raise ConfigError(
            "this configuration file cannot be read", where, "give a TOML file you may read"
        ) from None


def _near_file(path: Path) -> str:
    near = sorted(str(file) for file in path.parent.glob("*.toml")) if path.parent.is_dir() else []
    return f"choose one of {', '.join(near)}" if near else "give the path of a TOML file"


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, raw = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(
            "an override must look like section.key=value",
            {"given": override},
            "for example --set optim.learning_rate=3e-4; "
            "`gristmill config show STEP` prints all keys",
        )
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(
                "an override goes through a value that is no section",
                {"given": override, "key": name},
                f"set `{name}` itself, or a key of a section: "
                "`gristmill config show STEP` prints all",
            )
    table[names[-1]] = _parse_value(raw.strip())


def _parse_value(raw: str) -> Any:
    """Read a value as TOML would; anything that is not one TOML value as a whole is the bare string
    itself.
    """
    try:
        # In brackets no comment or second line can hide.
        values = tomllib.loads(f"value = [{raw}]")["value"]
    except tomllib.TOMLDecodeError:
        return raw
    return values[0] if len(values) == 1 else raw


def _explain(model: type[Config], error: pydantic.ValidationError, origin: str) -> ConfigError:
    rows: dict[str, object] = {"file": origin}
    fixes = []
    for detail in error.errors():
        key = ".".join(str(part) for part in detail["loc"]) or "(whole file)"
        rows[key] = _problem(detail)
        if detail["type"] == "extra_forbidden":
            fixes.append(_suggestion(model, detail["loc"], key))
    return ConfigError(
        "this configuration cannot be run", rows, " ".join(fixes) or "change the values given above"
    )


def _problem(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        return "no such key"
    return f"{detail['msg'].removeprefix('Value error, ')} (given: {detail['input']!r})"


def _suggestion(model: type[Config], location: tuple[int | str, ...], key: str) -> str:
    """The existing key most like the unknown one: in its own section first, then anywhere, else all
    of its section.
    """
    unknown_name = str(location[-1])
    section = _section(model, location[:-1])
    near = difflib.get_close_matches(unknown_name, list(section.model_fields), n=1, cutoff=0.5)
    near = near or [path for path in _paths(model) if path.split(".")[-1] == unknown_name][:1]
    if near:
        return f"did you mean `{near[0]}` instead of `{key}`?"
    return f"the keys beside `{key}` are {', '.join(section.model_fields)}"


def _section(model: type[Config], location: Iterable[int | str]) -> type[Config]:
    """The section a location lies in; positions in a list and the free keys of a table belong to
    the section inside.
    """
    section = model
    for name in location:
        field = section.model_fields.get(str(name))
        section = (_model_in(field.annotation) if field else None) or section
    return section


def _paths(model: type[Config], before: str = "") -> Iterator[str]:
    """Every key of a model and its sections, with dots."""
    for name, field in model.model_fields.items():
        yield before + name
        if section := _model_in(field.annotation):
            yield from _paths(section, f"{before}{name}.")


def _model_in(annotation: Any) -> type[Config] | None:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation
    for part in get_args(annotation):
        section = _model_in(part)
        if section is not None:
            return section
    return None


def _emit(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and (plain or not table):
        lines += ["", f"[{'.'.join(map(_key, path))}]"]
    lines += [f"{_key(key)} = {_literal(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            _emit(value, (*path, key), lines)


def _key(name: str) -> str:
    return (
        name
        if name.replace("_", "").replace("-", "").isalnum() and name.isascii()
        else _literal(name)
    )


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escape(char) for char in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, dict):
        inner = (
            f"{_key(key)} = {_literal(item)}" for key, item in value.items() if item is not None
        )
        return "{" + ", ".join(inner) + "}"
    return repr(value)


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isprintable() else f"\\U{ord(char):08x}"
