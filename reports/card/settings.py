"""The settings that made a corpus, as a TOML file that the same commands read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gristmill.formatting import format_count
from reports.card.content import Card
from reports.chain.report_data import RunSummary

MADE_BY = ("annotate", "decide", "tokenizer", "pack", "export-text")
"""The steps that a configuration file has a section for, in their order."""
WITHHELD = "(withheld)"


def toml(card: Card) -> Iterator[str]:
    """A section for each step of the corpus' own line, never of an audit's; what must stay secret is left out, and so is what is not set."""
    runs = {step: found[-1] for step in MADE_BY if (found := card.of(step))}
    for step in (name for name in MADE_BY if name in runs):
        yield f"[{step.replace('-', '_')}]"
        for key, value in settings_of(runs[step]).items():
            yield f"{bare(key)} = {written(value)}"
        yield ""


def settings_of(run: RunSummary) -> dict[str, Any]:
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
    """The commands that make the same run from the same inputs; a check by its id only where it comes out without a secret."""
    with_settings = "--config settings.toml --out runs"
    given, decide = " ".join(f"--in {one}" for one in _inputs(card)), card.last("decide")
    key = ' --set annotate.author_key="$AUTHOR_KEY"' if card.pseudonyms else ""
    listed = " --set decide.takedown=takedown.csv" if decide.details.get("takedowns") else ""
    lines = (
        ["# AUTHOR_KEY holds the secret key: with another, or none, run ids and pseudonyms differ"]
        if key
        else []
    )
    if card.packed:
        lines.append(f"gristmill prepare {given} {with_settings}{_tokenizer(card)}{key}{listed}")
    else:
        annotated, decided = (_made(card, step) for step in ("annotate", "decide"))
        lines.append(f"gristmill annotate {given} {with_settings}{key}")
        lines.append(f"gristmill decide{annotated} {with_settings}{listed}")
        lines.append(f"gristmill export-text{decided} {with_settings}")
    return lines if key else [*lines, f"gristmill runs verify runs/{card.run.id}"]


def _made(card: Card, step: str) -> str:
    """The option that names a run just made; without one the newest is read, as its id depends on the secret key."""
    return "" if card.pseudonyms else f" --in runs/{card.last(step).id}"


def _tokenizer(card: Card) -> str:
    """The option that names the tokenizer, unless `prepare` would train the same on the same documents."""
    made = next(iter(card.of("tokenizer")), None)
    trained_here = made is not None and card.last("decide").id in made.parents
    return "" if made is None or trained_here else f" --tokenizer runs/{made.id}"


def _inputs(card: Card) -> list[str]:
    annotate = card.last("annotate")
    there = [*annotate.parents, *(name for name in annotate.files_read if name in card.missing)]
    return [f"runs/{name}" for name in there] or list(map(quoted, annotate.files_read))


def remaining_check(card: Card) -> str:
    """What can be compared where a secret key keeps the ids of runs from coming out."""
    decide = card.last("decide")
    names = (
        " (a takedown list that names authors fits this key alone)"
        if decide.details.get("takedowns")
        else ""
    )
    if card.packed:
        return f"rows of shards hold no pseudonym: they are the same with any key{names}, and only the name of the run in the schema differs. Compare the splits that `gristmill shards inspect` shows, and the SHA-256 of `tokenizer/`, with those above."
    return f"all columns but `author` are the same with any key{names}: compare them, and the counts of every step with those above."


def budget(card: Card) -> str:
    """What to expect of records that cannot be read; empty where all could be. Manifests do not hold `errors.budget`."""
    lost, step = (
        card.last("annotate").counts.get("quarantined", 0),
        "prepare" if card.packed else "annotate",
    )
    if not lost:
        return ""
    return f"`{step}` ends with exit code 3, and the run is complete, where more records cannot be read than `errors.budget` allows: here {format_count(lost)}, so `--set errors.budget={lost}` ends with 0. The budget is no part of run ids and was not recorded."


def quoted(name: str) -> str:
    """A file name for a shell."""
    return (
        name
        if name.replace("_", "").replace("-", "").replace(".", "").isalnum()
        else "'" + name.replace("'", "'\\''") + "'"
    )
