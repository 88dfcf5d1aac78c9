"""`gristmill tokenizer import` and `export`: tokenizers of others as runs of ours, and ours as folders for others."""

from pathlib import Path
from typing import Annotated

import typer

from gristmill import cli
from gristmill.runs.finished import open_run

FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A sentencepiece .model, a tokenizer.json (or its folder), a .tiktoken file.",
    ),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A tokenizer run.")]
PatternOption = Annotated[
    str | None,
    typer.Option(
        "--pattern", help="tiktoken: gpt2, cl100k_base, o200k_base or a regular expression."
    ),
]
SpecialOption = Annotated[
    list[str] | None,
    typer.Option("--special", help="tiktoken: a special token as name=id; repeatable."),
]
RunsArgument = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Tokenizer runs, side by side.")
]
DecideOption = Annotated[
    Path | None, typer.Option("--in", help="The decide run whose documents are measured on.")
]
SizesOption = Annotated[
    str | None,
    typer.Option("--sizes", help="A study of vocabulary sizes, e.g. 2k,4k,8k,16k,32k,64k."),
]
SampleOption = Annotated[str, typer.Option("--sample", help="Bytes of text measured on.")]
PageOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="The HTML file to write, by default tokenizers.html beside the first run; figures as JSON.",
    ),
]
ToOption = Annotated[Path, typer.Option("--to", help="The folder to write.")]


def register(group: typer.Typer) -> None:
    """Add the commands to the group `tokenizer`."""
    group.command("import")(import_)
    group.command()(export)
    group.command()(report)


def import_(
    file: FileArgument,
    pattern: PatternOption = None,
    special: SpecialOption = None,
    out: cli.OutOption = Path("runs"),
    force: cli.ForceOption = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Make a tokenizer run of a tokenizer that there is already; `pack` takes it with --tokenizer.

    Training needs the special pieces that `tokenizer train` makes; with others `pack` works and `pretrain` says so.

    Examples: gristmill tokenizer import llama/tokenizer.model; gristmill tokenizer import gpt2/tokenizer.json;
    gristmill tokenizer import cl100k_base.tiktoken --pattern cl100k_base --special '<|endoftext|>=100257'
    """
    from pipelines.tokenizer import import_export as tokenizer_runs

    run = tokenizer_runs.import_tokenizer(
        file, out, pattern=pattern, special=special or [], force=force
    )
    cli.conclude(run, as_json=as_json)


def export(run: RunArgument, to: ToOption) -> None:
    """Write the folder that `AutoTokenizer.from_pretrained` opens, after comparing ids on documents it was trained for.

    An unequal id refuses the export and names the text. Open the folder by AutoTokenizer alone: its configuration keeps
    text that spells a special token text.

    Example: gristmill tokenizer export runs/tokenizer-9f2c11ab04de --to my-tokenizer
    """
    from pipelines.tokenizer import import_export as tokenizer_runs

    checked = tokenizer_runs.export_tokenizer(open_run(run, step="tokenizer"), to)
    equal = [f"tokenizer  ids are equal on {checked} texts"] if checked else []
    cli.say(*equal, f"  {tokenizer_runs.how_to_open(to)}")
    typer.echo(to)


def report(
    given: RunsArgument,
    decided: DecideOption = None,
    sizes: SizesOption = None,
    sample: SampleOption = "8M",
    out: PageOption = None,
) -> None:
    """Measure tokenizers: tokens a word, character and byte by language, unused and longest pieces.

    Documents that no training took are measured on first, others where there are too few; page and console say how many.
    With --sizes one BPE model is trained on the same documents as `tokenizer train` takes, and cut to every size.

    Examples: gristmill tokenizer report runs/tokenizer-9f2c11ab04de;
    gristmill tokenizer report runs/tokenizer-* --in runs/decide-03c95a7e1b2d --sizes 2k,4k,8k,16k,32k,64k
    """
    from gristmill.steps.options import parse_bytes
    from pipelines.tokenizer import report as reporting
    from pipelines.tokenizer.fertility import as_lines

    opened = [open_run(path, step="tokenizer") for path in given]
    page, wanted = reporting.place_of(out, opened[0]), reporting.sizes_of(sizes) if sizes else []
    measured_on = open_run(decided, step="decide") if decided else reporting.decided_of(opened)
    made = reporting.report(opened, measured_on, wanted, parse_bytes(sample))
    reporting.write(made, page)
    cli.say(
        *as_lines([*made["rows"], *made["study"]]),
        *(f"tokenizer  {line}" for line in reporting.describe_measurement(made)),
    )
    typer.echo(page)
