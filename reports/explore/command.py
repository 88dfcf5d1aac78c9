"""`gristmill explore`: one self-contained HTML page about the rules of a run and the documents near their thresholds."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill import cli
from gristmill.config import load, load_config_model
from gristmill.errors import UserError
from gristmill.runs import storage
from gristmill.runs.finished import open_run

if TYPE_CHECKING:
    from pipelines.contract import DecideConfig

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A decide run, or an annotate run.")
]
PageOption = Annotated[Path, typer.Option("--out", help="The HTML file to write.")]
RuleOption = Annotated[str | None, typer.Option("--rule", help="Only this rule.")]
LangOption = Annotated[
    str | None, typer.Option("--lang", help="Only documents in this language, e.g. zh.")
]
KindOption = Annotated[
    str | None, typer.Option("--kind", help="Only documents of this kind of source, e.g. web.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Which of equally near documents are shown.")
]


def register(app: typer.Typer) -> None:
    """Add `explore`."""
    app.command()(explore)


def explore(
    run: RunArgument,
    rule: RuleOption = None,
    lang: LangOption = None,
    kind: KindOption = None,
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: PageOption = Path("explore.html"),
    seed: SeedOption = 0,
) -> None:
    """Write one HTML page about the rules of a run: what each drops, its signal's histogram, documents near its threshold.

    An annotate run is shown with the rules that `decide` would apply by this configuration: a look before the decision.

    Examples: gristmill explore runs/decide-03c95a7e1b2d --rule too_few_words --lang zh;
    gristmill explore runs/annotate-7c1f2a90b3d4 --set decide.thresholds.too_few_words.min=30
    """
    # Imported here: `gristmill --help` must need neither Arrow nor a template.
    from reports.explore.collect import ExploreChoice, collect_rules
    from reports.explore.page import draw_page, write_headline
    from reports.explore.source import open_source

    if out.is_dir():
        raise UserError(
            "the page must be a file", {"out": out}, f"for example --out {out / 'explore.html'}"
        )
    started = time.monotonic()
    source = open_source(open_run(run), _load_rules(config, overrides or []))
    choice = ExploreChoice(rule=rule, lang=lang, kind=kind, seed=seed)
    report = collect_rules(source, choice)
    page = draw_page(report).encode()
    storage.commit_bytes(out, page)
    seconds = time.monotonic() - started
    cli.say(f"explore  {write_headline(report)}", f"  {len(page) / 1e3:,.0f} kB, {seconds:.1f} s")
    typer.echo(str(out))


def _load_rules(config: Path | None, overrides: list[str]) -> "DecideConfig | None":
    """The rules of the user's configuration; None where none was given."""
    if config is None and not overrides:
        return None
    settings = load(load_config_model("prepare"), config, overrides)
    rules: DecideConfig = settings.decide
    return rules
