"""`gristmill shards verify|inspect|decode|convert`: look at the shards of a pack run, and write them for other trainers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gristmill import cli
from gristmill.errors import ConfigError, RunError
from gristmill.progress import Progress
from gristmill.runs.finished import open_run

if TYPE_CHECKING:
    from reports.shards.formats.documents import Batch

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A pack run.")]
PlaceArgument = Annotated[
    Path, typer.Argument(metavar="RUN|FILE", help="A pack run, or one .arrow file.")
]
SplitOption = Annotated[str, typer.Option("--split", help="train, validation or test.")]
SplitsOption = Annotated[
    list[str] | None, typer.Option("--split", help="Only this split; repeatable.")
]
RowOption = Annotated[
    int | None,
    typer.Option("--row", min=0, help="The row, counted through the split's shards from 0."),
]
CountOption = Annotated[int, typer.Option("--count", min=1, help="So many rows.")]
IdOption = Annotated[
    str | None, typer.Option("--id", help="The id of a document, in place of a row.")
]
ToOption = Annotated[
    Literal["nanogpt", "megatron", "mds"], typer.Option("--to", help="The format.")
]
FolderOption = Annotated[Path, typer.Option("--out", help="The folder to write.")]
EndOption = Annotated[
    bool,
    typer.Option("--end/--no-end", help="Whether an end-of-text id stands behind every document."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON in place of lines for people.")
]


def register(app: typer.Typer) -> None:
    """Add the group `shards`."""
    group = typer.Typer(
        help="Verify, inspect, decode and convert token shards.", no_args_is_help=True
    )
    group.command()(verify)
    group.command()(inspect)
    group.command("decode")(decode_)
    group.command()(convert)
    app.add_typer(group, name="shards")


def verify(run: RunArgument, as_json: JsonOption = False) -> None:
    """Look at every shard of a pack run for everything that can be wrong; exit code 2 where something is.

    Size, SHA-256, end-of-stream marker, rows, columns, ids within the vocabulary, sentences, tokens against the manifest, the
    tokenizer, foreign files.

    Example: gristmill shards verify runs/pack-e41a0c7d9f52
    """
    from reports.shards.checks import faults

    sealed = open_run(run, step="pack")
    shards = [file for file in sealed.data_files() if file.path.endswith(".arrow")]
    with Progress("verify", total=sum(file.bytes for file in shards) / 1e6, unit="MB") as bar:
        found = list(faults(sealed, lambda size: bar.advance(size / 1e6)))
    if as_json:
        typer.echo(
            json.dumps(
                [{"file": fault.file, "what": fault.what, "fix": fault.fix} for fault in found]
            )
        )
    for fault in found:
        cli.say(f"{fault.file}: {fault.what}", f"  to fix  {fault.fix}")
    if found:
        raise RunError(
            "shards are not as they were sealed", {"run": run, "faults": len(found)}, "see above"
        )
    tokens = sum(split["tokens"] for split in sealed.details["splits"].values())
    cli.say(f"{len(shards)} shards, {tokens} tokens: all as sealed")


def inspect(place: PlaceArgument, as_json: JsonOption = False) -> None:
    """Show what is in the shards: documents, tokens, lengths, sources and languages, how much of the vocabulary is used.

    Examples: gristmill shards inspect runs/pack-e41a0c7d9f52; gristmill shards inspect train/data-00000-of-00004.arrow
    """
    from reports.shards.inspect import as_lines, contents, size_of

    with Progress("inspect", total=size_of(place) / 1e6, unit="MB") as bar:
        run, found = contents(place, lambda size: bar.advance(size / 1e6))
    vocabulary = int(run.details["vocab_size"]) if run else None
    if as_json:
        typer.echo(
            json.dumps([content.record(vocabulary) for content in found], ensure_ascii=False)
        )
        return
    typer.echo("\n".join(as_lines(found, vocabulary)))


def decode_(
    run: RunArgument,
    split: SplitOption = "train",
    row: RowOption = None,
    count: CountOption = 1,
    id: IdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn rows of a shard back to text, a sentence a line, with their documents' story: source, licence, capture, decision.

    Examples: gristmill shards decode runs/pack-e41a0c7d9f52 --row 17; gristmill shards decode runs/pack-e41a0c7d9f52 --id 0c5f...
    """
    from reports.shards.decode import as_json as row_json
    from reports.shards.decode import as_lines, decode, find

    if (id is None) == (row is None):
        raise ConfigError("which document?", fix="give --row N, or --id ID")
    sealed = open_run(run, step="pack")
    rows = find(sealed, id) if id else decode(sealed, split, row or 0, count)
    for found in rows:
        typer.echo(
            json.dumps(row_json(found), ensure_ascii=False)
            if as_json
            else "\n".join(as_lines(found)) + "\n"
        )


def convert(
    run: RunArgument,
    to: ToOption,
    out: FolderOption,
    split: SplitsOption = None,
    end: EndOption = True,
) -> None:
    """Write shards in the format that another trainer reads.

    nanogpt: train.bin, val.bin, test.bin. megatron: <split>_document.bin and .idx. mds: a folder of MosaicML Streaming a split.

    Example: gristmill shards convert runs/pack-e41a0c7d9f52 --to megatron --out megatron
    """
    from reports.shards.formats import documents, mds, megatron, nanogpt

    sealed = open_run(run, step="pack")
    writer = {"nanogpt": nanogpt.write, "megatron": megatron.write, "mds": mds.write}[to]
    last = documents.end_of(sealed) if end else None
    splits = documents.splits_of(sealed, split or [])
    with Progress("checking shards", unit="MB") as bar:
        documents.check_sealed(sealed, splits, lambda size: bar.advance(size / 1e6))
    for name, total in splits.items():
        with Progress(f"convert {name}", total=total, unit="documents") as bar:
            batches = documents.batches(sealed, name, last)
            written = writer(
                out, name, _told(batches, bar), int(sealed.details["vocab_size"]), last
            )
        cli.say(
            f"convert  {name}: {total} documents -> {', '.join(path.name for path in written[:3])}"
        )
    typer.echo(out)


def _told(batches: "Iterator[Batch]", bar: Progress) -> "Iterator[Batch]":
    for batch in batches:
        yield batch
        bar.advance(len(batch.ends))
