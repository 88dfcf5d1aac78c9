"""`gristmill rules` and `signals`: what a document is judged by, and what each column means."""

import json
import math
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gristmill import cli
from gristmill.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.decide.config import DecideConfig

KindOption = Annotated[
    str | None, typer.Option("--kind", help="Only rules for this kind of source, e.g. web.")
]
LangOption = Annotated[
    str | None, typer.Option("--lang", help="The thresholds for this language, e.g. zh.")
]
ListJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON list instead of a table.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(rules)
    app.command()(signals)


def rules(
    kind: KindOption = None,
    lang: LangOption = None,
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    as_json: ListJsonOption = False,
) -> None:
    """List the rules that `decide` would apply: signal, threshold, preset, and the kinds of source it is for.

    A document is dropped below `min` or above `max`. A threshold is changed by its reason:
    --set decide.thresholds.too_few_words.min=30

    Examples: gristmill rules --kind web --lang zh; gristmill rules --config configs/prepare/default.toml
    """
    from gristmill.config import load
    from pipelines.config import PrepareConfig

    found = rule_rows(load(PrepareConfig, config, overrides or []).decide, kind=kind, lang=lang)
    _print(found, as_json)


def signals(
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    as_json: ListJsonOption = False,
) -> None:
    """List every column of a document: its meaning with unit, where the definition comes from, and its type.

    With a configuration the columns that it adds are listed too, from functions, classifiers and word lists.

    Examples: gristmill signals --json; gristmill signals --config configs/prepare/default.toml
    """
    from gristmill.config import load
    from gristmill.corpus.document import DOCUMENT_SCHEMA
    from pipelines.annotate.signals.chosen import load_custom_columns
    from pipelines.annotate.signals.table import SIGNAL_FIELDS
    from pipelines.config import PrepareConfig

    own = load_custom_columns(load(PrepareConfig, config, overrides or []).annotate)
    rows = []
    for field in (*DOCUMENT_SCHEMA, *SIGNAL_FIELDS, *(column.field for column in own)):
        about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        row = {"signal": field.name, "is": about["is"], "source": about.get("source", "ours")}
        rows.append(row | {"type": str(field.type)})
    _print(rows, as_json)


def rule_rows(
    config: "DecideConfig", *, kind: str | None = None, lang: str | None = None
) -> list[dict[str, Any]]:
    """The rules in use with their thresholds for `lang`; without one, for languages that have none of their own.

    Raises ConfigError for a kind of source that is not configured.
    """
    from pipelines.contract import choose_rules

    if kind is not None and kind not in config.presets:
        raise ConfigError(
            "no such kind of source",
            {"given": kind},
            f"choose from {', '.join(sorted(config.presets))}",
        )
    rows = []
    for rule in choose_rules(config):
        kinds = [name for name, presets in config.presets.items() if rule.judges(name, presets)]
        if kind is not None and kind not in kinds:
            continue
        low, high = rule.bounds(lang or "")
        row = {
            "reason": rule.name,
            "signal": rule.signal,
            "min": _number(low),
            "max": _number(high),
        }
        rows.append(row | {"preset": rule.preset, "kinds": " ".join(kinds)})
    return rows


def _number(bound: float) -> float | None:
    return None if math.isinf(bound) else bound


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for place, name in enumerate(rows[0] if rows else ("nothing",)):
        table.add_column(
            name, no_wrap=place == 0, overflow="fold"
        )  # the first is what one has to type
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160).print(table, highlight=False)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
