"""The settings that made a corpus, as a TOML file that the same commands read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gristmill.card.content import Card
from gristmill.report.facts import RunFacts

MADE_BY = ("annotate", "decide", "tokenizer", "pack", "export-text")
"""The steps that a configuration file has a section for, in their order."""
WITHHELD = "(withheld)"


def toml(card: Card) -> Iterator[str]:
    """A section for each step; what must stay secret is left out, and so is what is not set."""
    runs = {run.step: run for run in card.runs if run.step in MADE_BY and (run.main or run.step == "tokenizer")}
    for step in (name for name in MADE_BY if name in runs):
        yield f"[{step.replace('-', '_')}]"
        for key, value in settings_of(runs[step]).items():
            yield f"{bare(key)} = {written(value)}"
        yield ""


def settings_of(run: RunFacts) -> dict[str, Any]:
    """What was set; a mixture of no groups is none, and cannot be given as one."""
    config = {key: value for key, value in run.config.items() if value != WITHHELD}
    if not (config.get("mixture") or {}).get("by", True):
        del config["mixture"]
    return {key: value for key, value in config.items() if value is not None}


def written(value: Any) -> str:
    """A value as TOML in one line; null has no form in TOML and is left out of tables."""
    if isinstance(value, Mapping):
        pairs = [f"{bare(key)} = {written(one)}" for key, one in value.items() if one is not None]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def bare(key: object) -> str:
    """A key, quoted where it must be."""
    name = str(key)
    plain = bool(name) and name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else written(name)


def commands(card: Card) -> list[str]:
    """The commands that make the same run from the same inputs."""
    with_settings = "--config settings.toml --out runs"
    lines = []
    given, decide = " ".join(f"--in {one}" for one in _inputs(card)), card.last("decide")
    listed = " --set decide.takedown=takedown.csv" if decide.details.get("takedowns") else ""
    if card.packed:
        lines.append(f"gristmill prepare {given} {with_settings}{_tokenizer(card)}{listed}")
    else:
        lines.append(f"gristmill annotate {given} {with_settings}")
        lines.append(f"gristmill decide --in runs/{card.last('annotate').id} {with_settings}{listed}")
        lines.append(f"gristmill export-text --in runs/{decide.id} {with_settings}")
    return [*lines, f"gristmill runs verify runs/{card.run.id}"]


def _tokenizer(card: Card) -> str:
    """The option that names the tokenizer, unless `prepare` would train the same on the same documents."""
    made = next((run for run in card.runs if run.step == "tokenizer"), None)
    trained_here = made is not None and card.last("decide").id in made.parents
    return "" if made is None or trained_here else f" --tokenizer runs/{made.id}"


def _inputs(card: Card) -> list[str]:
    annotate = card.last("annotate")
    return [f"runs/{parent}" for parent in annotate.parents] or list(map(quoted, annotate.files_read))


def quoted(name: str) -> str:
    """A file name for a shell."""
    return (
        name
        if name.replace("_", "").replace("-", "").replace(".", "").isalnum()
        else "'" + name.replace("'", "'\\''") + "'"
    )
