"""The card of a pack with a mixture, a secret key, a tokenizer of its own and an audit of a model trained on another pack; of its export."""

import json
import random
import re
import runpy
import shlex
import shutil
import tomllib

import pytest

from gristmill import cli
from gristmill.config import Config
from gristmill.corpus.shards import open_shard
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, all_entries, find_latest, open_parents, open_run
from gristmill.runs.run import start_run
from reports.card.command import write

WORDS = "the mill of stone water that and with have old man said river bread flour door house night road field she he".split()
HAN = "的是在了和有不一人为这中老师教室学生读书工程新桥河上早去市场"
COMMON = [
    "annotate.author_key=hush-hush",
    "decide.preset=none",
    "errors.budget=1",
    "pack.validation=0.1",
    "pack.test=0.2",
]
MIXED = [
    "tokenizer.vocab_size=500",
    'pack.mixture.by=["lang"]',
    "pack.mixture.weights={'lang=zh'=4.0}",
    "pack.mixture.max_repeats=8",
]


class Made(Config):
    """Settings of runs that are made by hand."""

    word: str = ""


def row(n):
    """Sixty posts with addresses that hold a handle, every third one Chinese."""
    rng = random.Random(n)
    zh = n % 3 == 0
    words = (
        "。".join("".join(rng.choices(HAN, k=14)) for _ in range(9))
        if zh
        else ". ".join(" ".join(rng.choices(WORDS, k=9)) for _ in range(12))
    )
    licence = {"license": "PSF-2.0"} if zh else {}
    return {
        "id": f"d{n}",
        "text": words,
        "source": "zh" if zh else "en",
        "type": "social",
        "url": f"https://s.example/@h{n}/1",
    } | licence


def sets(options):
    return [word for option in options for word in ("--set", option)]


def prepared(folder, *options):
    words = [
        "prepare",
        "--in",
        str(folder / "tale.jsonl"),
        "--out",
        str(folder / "runs"),
        *sets([*COMMON, *options]),
    ]
    assert cli.run(words) == 0
    return find_latest(folder / "runs", "pack")


def sealed(place, step, parents, details=None, audit=None):
    """A run made by hand, such as one of a model: its files are not looked at."""
    with start_run(
        step, out=place, config=Made(word=step), inputs=[parent.as_input() for parent in parents]
    ) as run:
        if audit:
            storage.commit_json(run.path / "audit.json", audit)
        return run.finish(details=details)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder, the pack, its export to JSON Lines, and an audit of a model that was trained on another pack."""
    folder = tmp_path_factory.mktemp("mixture")
    lines = [json.dumps(row(n), ensure_ascii=False) for n in range(60)]
    (folder / "tale.jsonl").write_text("\n".join([*lines, '{"id": "cut']), encoding="utf-8")
    packed, other = prepared(folder, *MIXED), prepared(folder, "tokenizer.vocab_size=560")
    decided = find_latest(folder / "runs", "decide")
    words = [
        "export-text",
        "--in",
        str(decided.path),
        "--out",
        str(folder / "runs"),
        *sets(["export_text.format=jsonl"]),
    ]
    assert cli.run(words) == 0
    model = sealed(folder / "runs", "pretrain", [other])
    told = {"models": [{"name": model.id}], "limits": ["Few pairs."], "schema": "of a test"}
    audit = sealed(
        folder / "runs",
        "audit",
        [*open_parents(decided), decided, model],
        {"headlines": ["models: 1"]},
        told,
    )
    return folder, packed, find_latest(folder / "runs", "export-text"), audit, other


@pytest.fixture(scope="module")
def card(made, tmp_path_factory):
    """The folder of the card of the pack, laid into a copy of it, and its page."""
    folder = tmp_path_factory.mktemp("card") / "copy"
    shutil.copytree(made[1].path, folder)
    write(made[1], [made[3]], folder)
    return folder, (folder / "README.md").read_text(encoding="utf-8")


def section(page, title):
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def code(page, kind):
    return dict(re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL))[kind]


def test_settings_and_tokenizer_are_the_packs_own_and_not_those_of_the_audited_model(made, card):
    settings = tomllib.loads(code(card[1], "toml"))
    assert settings["tokenizer"]["vocab_size"] == 500 == made[1].details["vocab_size"]
    assert settings["pack"]["mixture"]["weights"] == {"lang=zh": 4.0}
    mine, other = (
        next(one for one in open_parents(pack) if one.step == "tokenizer").id
        for pack in (made[1], made[4])
    )
    table = section(card[1], "How it was made")
    assert (
        f"| `{mine}` | corpus |" in table
        and f"| `{other}` | audit |" in table
        and f"| `{made[3].id}` | audit |" in table
    )
    assert (
        "500 ids" in section(card[1], "Tokenizer")
        and f"SHA-256 `{made[1].details['tokenizer']}`" in card[1]
    )
    assert "Trained on 60 documents" in section(card[1], "Tokenizer")
    assert (
        "a sample of all that `decide` kept, documents of `validation` and `test` included."
        in card[1]
    )


def test_the_audit_says_on_what_its_model_was_trained_and_what_its_figures_count(made, card):
    packed, told = made[1], section(card[1], "Biases")
    kept, rows = (
        packed.counts["kept"],
        sum(split["documents"] for split in packed.details["splits"].values()),
    )
    assert f"was trained on `{made[4].id}`, not on this one.\n" in told and kept < 60 < rows
    times = {group["key"]: f"{group['times']:.2f}" for group in packed.details["mixture"]}
    assert (
        f"count each of the 60 documents that `decide` kept once; this run leaves out {60 - kept} of them and writes {kept} documents "
        f"in {rows} rows, so shares differ in its rows (on average lang=en {times['lang=en']} times and lang=zh {times['lang=zh']} times)."
    ) in told


def test_documents_are_told_apart_from_rows_and_what_was_kept_from_what_is_packed(made, card):
    packed, page = made[1], card[1]
    splits = {name: split["documents"] for name, split in packed.details["splits"].items()}
    kept, rows, held = (
        packed.counts["kept"],
        sum(splits.values()),
        splits["validation"] + splits["test"],
    )
    assert f"\n{kept} documents, {rows} rows, {packed.counts['tokens']:,} tokens, " in page
    assert json.loads((card[0] / "croissant.json").read_text())["description"].startswith(
        f"{kept} documents, {rows} rows, "
    )
    table = section(page, "Splits")
    assert f"| train | {kept - held} | {splits['train']} |" in table
    for split, asked in (("validation", "10.0 %"), ("test", "20.0 %")):
        share = f"{100 * splits[split] / kept:.1f} %"
        assert (
            f"`{split}` (asked for {asked}; it has {splits[split]} of {kept} documents, {share})"
            in table
        )
    entries = [entry for entry in all_entries(packed) if entry.fate == "kept"]
    documents = {
        name: sum(entry.documents for entry in entries if entry.source == name)
        for name in ("en", "zh")
    }
    sources = section(page, "Sources and licences")
    assert (
        "| source | kept by `decide` | documents | rows | tokens | bytes of text | licences (documents) |"
        in sources
    )
    assert (
        f"| en | 40 | {documents['en']} |" in sources
        and f"| zh | 20 | {documents['zh']} |" in sources
    )
    assert (
        f"`pack` left out {60 - kept} of the 60 documents that `decide` kept: see below." in sources
    )
    assert (
        "| licence stated | 20 of 60 documents that decide kept (33.3 %); unknown for 40 |" in page
    )
    assert f"| English (en) | {documents['en']} |" in section(page, "Languages")


def test_a_recipe_without_its_key_promises_no_run_id_and_says_what_can_be_checked(
    made, card, tmp_path
):
    told, sh = section(card[1], "How to reproduce it"), code(card[1], "sh")
    assert sh.splitlines() == [
        "# AUTHOR_KEY holds the secret key: with another, or none, run ids and pseudonyms differ",
        'gristmill prepare --in tale.jsonl --config settings.toml --out runs --set annotate.author_key="$AUTHOR_KEY"',
    ]
    assert "here 1, so `--set errors.budget=1` ends with 0." in told and "runs verify" not in told
    assert (
        f"With the same key the run is `{made[1].id}`; with another, or none, run ids and pseudonyms differ."
        in told
    )
    assert (
        "rows of shards hold no pseudonym: they are the same with any key, and only the name of the run in the schema"
        in told
    )
    (tmp_path / "settings.toml").write_text(code(card[1], "toml"), encoding="utf-8")
    shutil.copy2(made[0] / "tale.jsonl", tmp_path)
    found = dict[str, FinishedRun]()
    for key in ("hush-hush", "another"):
        line = (
            sh.splitlines()[1].replace("$AUTHOR_KEY", key).replace("runs", str(tmp_path / "runs"))
        )
        line = line.replace("settings.toml", str(tmp_path / "settings.toml")).replace(
            "tale.jsonl", str(tmp_path / "tale.jsonl")
        )
        assert cli.run(shlex.split(line)[1:]) == 3
        found[key] = find_latest(tmp_path / "runs", "pack")
    assert found["hush-hush"].id == made[1].id != found["another"].id
    assert found["another"].details == made[1].details
    for path in ("train/data-00000-of-00001.arrow", "test/data-00000-of-00001.arrow"):
        assert open_shard(found["another"].path / path).equals(open_shard(made[1].path / path))


def test_no_bullet_is_longer_than_two_hundred_characters(card):
    bullets = [line for line in card[1].splitlines() if re.match(r" *- ", line)]
    assert len(bullets) > 20 and max(map(len, bullets)) <= 206


def test_python_of_the_card_opens_the_rows_that_it_counts(made, card, monkeypatch, tmp_path):
    pytest.importorskip("datasets", reason="the extra `dev` brings datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(card[0])
    splits = {name: split["documents"] for name, split in made[1].details["splits"].items()}
    for line, rows in (("load_dataset", splits), ("load_from_disk", splits["train"])):
        assert opened(code(card[1], "python"), line, tmp_path).num_rows == rows
    assert (
        runpy.run_path(str(script(code(card[1], "python"), tmp_path)))["table"].num_rows
        == splits["train"]
    )


def script(text, folder):
    (folder / "load.py").write_text(text)
    return folder / "load.py"


def opened(text, call, folder):
    """What `rows` is after the imports and the line that has `call`."""
    lines = [line for line in text.splitlines() if line.startswith("import") or call in line]
    cached = "\n".join(lines).replace(
        'abspath(".")', f'abspath("."), cache_dir={str(folder / "cache")!r}'
    )
    return runpy.run_path(str(script(cached, folder)))["rows"]


# ---- an export to JSON Lines, with a README.md of its own


def test_a_card_of_json_lines_states_the_types_of_the_sealed_readme_and_is_laid_into_a_copy(
    made, tmp_path, monkeypatch, capsys
):
    datasets = pytest.importorskip("datasets", reason="the extra `dev` brings datasets")
    export, copy = made[2], tmp_path / "copy"
    assert cli.run(["card", str(export.path), "--out", str(export.path)]) == 2
    assert "the run has a sealed README.md, which the card would replace" in capsys.readouterr().err
    shutil.copytree(export.path, copy)
    before = datasets.load_dataset(str(copy), cache_dir=str(tmp_path / "before"))["train"]
    assert cli.run(["card", str(export.path), "--out", str(copy)]) == 0
    page = (copy / "README.md").read_text(encoding="utf-8")
    assert (
        "This file states the same types, so the copy keeps them; `gristmill runs verify` on the copy names README.md"
        in page
    )
    assert "into a copy of it, beside the data." in page
    assert open_run(copy).verify() == ["README.md"] and export.verify() == []
    monkeypatch.chdir(copy)
    after = opened(code(page, "python"), "load_dataset", tmp_path)["train"]
    assert after.features == before.features and after.num_rows == before.num_rows == 60
    columns = section(page, "How to load it")
    assert "| `text_hash` | `string` |" in columns and "places in input_ids" not in columns
    fields = {
        one["@id"]: one
        for one in json.loads((copy / "croissant.json").read_text())["recordSet"][0]["field"]
    }
    assert (
        fields["train/text_hash"]["dataType"] == "sc:Text"
        and fields["train/words"]["dataType"] == "sc:Integer"
    )
    assert "of these columns this text has `author` and `url`." in section(page, "Personal data")
    assert code(page, "sh").splitlines()[1:] == [
        'gristmill annotate --in tale.jsonl --config settings.toml --out runs --set annotate.author_key="$AUTHOR_KEY"',
        "gristmill decide --config settings.toml --out runs",
        "gristmill export-text --config settings.toml --out runs",
    ]


# ---- who publishes it, and what lies there


def test_what_was_not_given_is_said_and_left_out_and_what_was_given_is_told(made, tmp_path, capsys):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the extra `dev` brings mlcroissant")
    pack, folder = made[1], tmp_path / "card"
    for options in (
        [],
        [
            "--title",
            "Mill tales",
            "--creator",
            "The mill",
            "--contact",
            "a@x.org",
            "--version",
            "1.2.0",
        ],
    ):
        assert cli.run(["card", str(pack.path), "--out", str(folder), *options]) == 0
        issues = mlcroissant.Dataset(str(folder / "croissant.json")).metadata.ctx.issues
        page, told = (
            (folder / "README.md").read_text(encoding="utf-8"),
            json.loads((folder / "croissant.json").read_text()),
        )
        assert not issues.errors and not issues.warnings
        assert told["citeAs"].startswith(f"{pack.id}, made by Gristmill ")
        if not options:
            for what in ("title", "version", "creator", "contact"):
                assert f"| {what} | not given; give --{what} |" in page
            assert (
                "creator" not in told
                and told["version"] == f"0.0.0+{pack.id[5:]}"
                and told["name"] == pack.id
            )
            assert told["rai:dataReleaseMaintenancePlan"].endswith(
                " Contact: not given; give --contact."
            )
    assert (
        'pretty_name: "Mill tales"' in page
        and "\n# Mill tales\n" in page
        and f"| run | {pack.id} |" in page
    )
    assert (
        "| version | 1.2.0 |" in page
        and "| creator | The mill |" in page
        and "| contact | a@x.org |" in page
    )
    assert (told["name"], told["version"]) == ("Mill tales", "1.2.0")
    assert told["creator"] == {"@type": "sc:Organization", "name": "The mill", "email": "a@x.org"}
    assert 'license_link: "https://spdx.org/licenses/PSF-2.0.html"' in page
    assert "replaces" not in capsys.readouterr().err


def test_another_audit_is_told_when_it_replaces_a_card_and_another_runs_card_is_not_replaced(
    made, tmp_path, capsys
):
    _, pack, _, audit, other = made
    assert (
        cli.run(["card", str(pack.path), "--out", str(tmp_path), "--audit", str(audit.path)]) == 0
    )
    assert cli.run(["card", str(pack.path), "--out", str(tmp_path)]) == 0
    assert (
        f"card  replaces a card with {audit.id} by one with no audit\n" in capsys.readouterr().err
    )
    before = (tmp_path / "README.md").read_bytes()
    assert cli.run(["card", str(other.path), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert (
        "another card lies there" in error
        and pack.id in error
        and (tmp_path / "README.md").read_bytes() == before
    )
    assert cli.run(["card", str(pack.path), "--version", "one", "--out", str(tmp_path)]) == 2
    assert "MAJOR.MINOR.PATCH" in capsys.readouterr().err


def test_a_run_that_is_not_there_is_named_among_the_limits(made, tmp_path):
    shutil.copytree(made[0] / "runs", tmp_path / "runs")
    tokenizer = next(one for one in open_parents(made[1]) if one.step == "tokenizer")
    shutil.rmtree(tmp_path / "runs" / tokenizer.id)
    write(open_run(tmp_path / "runs" / made[1].id), [], tmp_path / "card")
    page = (tmp_path / "card/README.md").read_text(encoding="utf-8")
    assert (
        f"- Runs that did not lie beside this one, so that nothing is told of them: `{tokenizer.id}`.\n"
        in page
    )
