"""Data cards of real small runs: shards, shards of a mixture, exported text; read by the Hub's, datasets' and Croissant's own tools."""

import json
import random
import re
import shlex
import shutil
import tomllib

import pytest

from gristmill import cli
from gristmill.runs.finished import find_latest, list_runs, manifest_digest, open_run
from pipelines.config import PrepareConfig
from pipelines.export_text.graph import SCAFFOLD
from pipelines.final_text import PLACEHOLDER
from pipelines.pack.shuffle import SPLITS
from reports.card.columns import LEFT_OUT
from reports.card.command import sealed_on, write
from reports.card.content import OWN_REASONS, gather
from reports.card.policies import PLACEHOLDERS

WORDS = "the mill of stone water that and with have old man said river bread flour door house night road field she he her his".split()
HAN = "的是在了和有不一人为这中老师教室学生读书工程新桥河上早去市场她他"
ZH, EN, ODD = "中文维基百科", "posts", "<script>*odd*|_name_</script>"
OPTIONS = [
    "annotate.split_bytes=20000",
    "tokenizer.vocab_size=600",
    "pack.validation=0.2",
    "pack.test=0.1",
]


def text_of(number, chinese):
    rng = random.Random(number)
    if chinese:
        return "".join("".join(rng.choices(HAN, k=14)) + "。" for _ in range(9))
    return " ".join(f"The {' '.join(rng.choices(WORDS, k=9))}." for _ in range(12))


def records():
    """90 documents of two languages, one source with the markup of a stranger, a copy, a refusal, and two of personal data."""
    rows = []
    for n in range(90):
        zh = n % 3 == 0
        source = ZH if zh else ODD if n % 10 == 1 else EN
        licence = {"license": "CC-BY-SA-3.0-DE" if n < 6 else "CC-BY-4.0"} if zh else {}
        row = {
            "id": f"d{n}",
            "text": text_of(n, zh),
            "source": source,
            "type": "wiki",
            "date": f"2026-01-{1 + n % 20:02d}",
        }
        rows.append(row | licence)
    rows[2] |= {"license": "ask the author"}
    rows[1]["text"] += (
        " Write to the.miller@example.org or to the.baker@example.org for more of the flour."
    )
    return [*rows, {**rows[4], "id": "copy"}]


def sets(options):
    return [word for option in options for word in ("--set", option)]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder with `tale.jsonl`, `takedown.csv`, and `runs` made of them: two packs, two exports, an audit."""
    folder = tmp_path_factory.mktemp("cards")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records()) + '{"id": "cut'
    (folder / "tale.jsonl").write_text(lines, encoding="utf-8")
    options = sets([*OPTIONS, "decide.preset=none", "errors.budget=5"])
    assert (
        cli.run(
            ["prepare", "--in", str(folder / "tale.jsonl"), "--out", str(folder / "runs"), *options]
        )
        == 0
    )
    place = folder / "runs"
    decided, packed = (str(find_latest(place, step).path) for step in ("decide", "pack"))
    for form in ("parquet", "jsonl"):
        words = [
            "export-text",
            "--in",
            decided,
            "--out",
            str(place / form),
            *sets([f"export_text.format={form}"]),
        ]
        assert cli.run(words) == 0
        export = find_latest(place / form, "export-text")
        shutil.move(export.path, place / export.id)
    assert (
        cli.run(["audit", "--in", packed, "--out", str(place), *sets(["corpus.min_documents=5"])])
        == 0
    )
    return folder


def run_of(out, step, **settings):
    """The newest run of a step with these settings."""
    found = [run for run in list_runs(out / "runs") if run.step == step]
    return next(
        run for run in reversed(found) if settings.items() <= run.manifest["config"].items()
    )


def card_of(run, folder, audits=()):
    """Lay a card beside a copy of the data: README.md, croissant.json."""
    shutil.copytree(run.path, folder)
    write(run, list(audits), folder)
    return (folder / "README.md").read_text(encoding="utf-8"), json.loads(
        (folder / "croissant.json").read_text()
    )


@pytest.fixture(scope="module")
def packed(out, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "hub"
    return folder, *card_of(run_of(out, "pack"), folder, [run_of(out, "audit")])


@pytest.fixture(scope="module", params=["parquet", "jsonl"])
def exported(out, request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "hub"
    return folder, *card_of(run_of(out, "export-text", format=request.param), folder)


def section(page, title):
    """The lines of a section."""
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


TITLES = [
    "Splits",
    "Sources and licences",
    "Languages",
    "How it was made",
    "What was left out, and why",
    "Duplicates",
    "Personal data",
    "Rights and takedowns",
    "Tokenizer",
    "Biases",
    "How to load it",
    "Limits",
    "How to reproduce it",
]


# ---- for people


def test_a_card_says_all_and_leaves_nothing_to_fill_in(packed, exported):
    for page, titles in (
        (packed[1], TITLES),
        (exported[1], [title for title in TITLES if title != "Tokenizer"]),
    ):
        assert re.findall("^## (.*)$", page, re.MULTILINE) == titles
        for title in titles:
            assert section(page, title).strip(), title
        for empty in ("TODO", "More Information Needed", "None", "nan", "{'", "not explained"):
            assert empty not in page.replace("None.\n", ""), empty


def test_documents_are_told_by_licence_and_why_some_have_none(packed):
    told = section(packed[1], "Sources and licences")
    for row in (
        f"| {ZH} | 30 |",
        "CC-BY-4.0 (28), CC-BY-SA-3.0-DE (2)",
        "| unknown | 60 | 66.7 % |",
        "| CC-BY-4.0 | 28 | 31.1 % |",
        "| posts | `license` | 1 | ask the author |",
        "| posts | nothing | 53 |  |",
        "Documents were published from 2026-01-01 to 2026-01-20.",
        "When documents were captured is not known",
    ):
        assert row in told, row


def test_the_ledger_adds_up_with_every_reason_explained(packed):
    told = section(packed[1], "What was left out, and why")
    for row in (
        "| annotate | 92 | 91 | 0 | 1 |",
        "| decide | 91 | 90 | 1 | 0 |",
        "| pack | 91 | 90 | 1 | 0 |",
        "| decide | `exact_duplicate` | dropped | 1 | its text equals one that is kept, but for case and white space |",
        "| annotate | `cut_line` | quarantined | 1 | the last line is cut off |",
        "The 1 that `pack` dropped as `decided`",
    ):
        assert row in told, row
    assert "1 kept document had copies; the largest cluster has 2 documents" in section(
        packed[1], "Duplicates"
    )


def test_personal_data_rights_and_limits_are_told(packed):
    assert "| email | `<EMAIL>` | 2 |" in section(packed[1], "Personal data")
    assert "| phone | `<PHONE>` | 0 |" in section(packed[1], "Personal data")
    assert (
        "- Authors of social posts and of news pages are left out: the column `author` is empty.\n"
        in section(packed[1], "Personal data")
    )
    assert "Takedowns: no list was given." in section(packed[1], "Rights and takedowns")
    limits = section(packed[1], "Limits")
    assert (
        "For 60 of 90 documents (66.7 %) no licence is known" in limits
        and "could not be fetched or read: 1 in annotate." in limits
    )


def test_figures_of_the_audit_stand_with_interval_and_n(packed, out):
    audit, told = run_of(out, "audit"), section(packed[1], "Biases")
    assert f"Audit `{audit.id}`" in told
    assert re.search(
        r"zh: log\(female/male pronouns\) -?\d\.\d\d \[-?\d\.\d\d, -?\d\.\d\d\] n=\d+", told
    )
    assert re.search(
        r"\| Chinese \(zh\) \| gender/female \| \d+ \| [\d,.]+ \[[\d,.]+, [\d,.]+\] \| 30 \|", told
    )


def test_names_from_outside_are_shown_as_they_are_and_are_no_markup(packed):
    assert (
        ZH in packed[1]
        and "<script>" not in packed[1]
        and r"&lt;script>\*odd\*\|\_name\_&lt;/script>" in packed[1]
    )


def test_exported_text_is_told_without_tokens_and_with_its_columns(exported):
    page = exported[1]
    assert "90 documents, " in page and "tokens" not in section(page, "Splits")
    told = section(page, "How to load it")
    assert "| `licence` | `string` | SPDX id or `unknown` |" in told and "| `text` |" in told
    assert not any(f"| `{name}` |" in told for name in LEFT_OUT)


# ---- by the Hub's tools


def test_the_hub_reads_the_front_matter(packed, exported):
    hub = pytest.importorskip("huggingface_hub", reason="datasets brings huggingface_hub")
    for folder, splits in ((packed[0], ["train", "validation", "test"]), (exported[0], ["train"])):
        data = hub.DatasetCard.load(str(folder / "README.md")).data.to_dict()
        assert data["language"] == ["en", "zh"] or data["language"] == ["zh", "en"]
        assert (
            data["license"] == ["cc-by-4.0", "other", "unknown"]
            and data["license_name"] == "cc-by-sa-3.0-de"
        )
        assert data["size_categories"] == ["n<1K"] and "text-generation" in data["task_categories"]
        assert [file["split"] for file in data["configs"][0]["data_files"]] == splits


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets")


def test_datasets_opens_shards_with_the_columns_and_rows_that_the_card_says(
    packed, offline, tmp_path
):
    loaded = offline.load_dataset(str(packed[0]), cache_dir=str(tmp_path))
    info = _info(packed[0])
    assert loaded["train"].features == info.features
    assert {name: split.num_rows for name, split in loaded.items()} == {
        name: split.num_examples for name, split in info.splits.items()
    }
    assert sum(split.num_rows for split in loaded.values()) == 90


def _info(folder):
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard

    return DatasetInfosDict.from_dataset_card_data(
        DatasetCard.load(str(folder / "README.md")).data
    )["default"]


def test_datasets_opens_exported_text_by_its_card(exported, offline, tmp_path):
    loaded = offline.load_dataset(str(exported[0]), cache_dir=str(tmp_path))
    assert list(loaded) == ["train"] and loaded["train"].num_rows == 90
    assert loaded["train"].features == _info(exported[0]).features


# ---- for machines


def test_croissant_is_valid_without_a_warning(packed, exported, caplog):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the extra `dev` brings mlcroissant")
    for folder, *_ in (packed, exported):
        read = mlcroissant.Dataset(str(folder / "croissant.json"))
        assert not read.metadata.ctx.issues.errors and not read.metadata.ctx.issues.warnings
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_croissant_names_every_file_with_its_hash_and_reads_rows_from_all(packed, out):
    told, run = packed[2], run_of(out, "pack")
    files = {
        one["@id"]: one["sha256"] for one in told["distribution"] if one["@type"] == "cr:FileObject"
    }
    assert files == {
        file.path: file.sha256
        for file in run.data_files()
        if file.path.endswith(".arrow") or file.path.startswith("tokenizer/")
    }
    sets_ = {
        one["@id"]: one["includes"] for one in told["distribution"] if one["@type"] == "cr:FileSet"
    }
    assert sets_ == {name: f"{name}/*.arrow" for name in SPLITS}
    for records in told["recordSet"]:
        assert {field["source"]["fileSet"]["@id"] for field in records["field"]} == {
            records["@id"].split("-")[0]
        }


def test_croissant_reads_exported_text_row_by_row(exported):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the extra `dev` brings mlcroissant")
    if not list((exported[0] / "text").glob("*.parquet")):
        pytest.skip("mlcroissant reads no compressed JSON Lines")
    rows = list(mlcroissant.Dataset(str(exported[0] / "croissant.json")).records("train-rows"))
    assert len(rows) == 90
    one = next(row for row in rows if row["train/licence"] == b"CC-BY-4.0")
    assert one["train/source"].decode() == ZH
    assert one["train/evidence"] == [
        {"train/evidence/signal": b"license", "train/evidence/value": b"CC-BY-4.0"}
    ]
    assert one["train/capture"]["train/capture/file"] == b"tale.jsonl"


def test_croissant_tells_responsibility_from_the_runs(packed, exported):
    told = packed[2]
    assert told["rai:personalSensitiveInformation"][1] == "email: 2 spans, masked as <EMAIL>"
    assert told["rai:dataCollectionType"] == ["Secondary Data analysis"]
    assert (
        told["rai:dataCollectionMissingData"]
        == "Records that could not be fetched or read: 1 in annotate."
    )
    assert "decide: read 91, kept 90; exact_duplicate 1" in told["rai:dataPreprocessingProtocol"]
    assert any("n=" in line for line in told["rai:dataBiases"])
    assert exported[2]["rai:dataBiases"] == ["not audited: nothing is known"]
    assert told["license"][1] == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert (
        told["license"][0]["description"]
        == "60 of 90 documents: no licence that is known for certain"
    )


# ---- as a command


def test_a_card_written_twice_has_the_same_bytes(out, packed, tmp_path, capsys):
    words = [
        "card",
        str(run_of(out, "pack").path),
        "--audit",
        str(run_of(out, "audit").path),
        "--out",
        str(tmp_path),
    ]
    assert cli.run(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path)
    for name in ("README.md", "croissant.json"):
        assert (tmp_path / name).read_bytes() == (packed[0] / name).read_bytes()


def test_without_out_the_folder_has_the_name_of_the_run(out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = run_of(out, "pack")
    assert cli.run(["card", str(run.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == f"card-{run.id}" and (tmp_path / told["files"][0]).is_file()
    assert "not audited" in (tmp_path / told["path"] / "README.md").read_text()


def test_settings_and_commands_of_a_card_make_the_same_run(out, packed, tmp_path, monkeypatch):
    code = re.findall(r"```(\w+)\n(.*?)```", section(packed[1], "How to reproduce it"), re.DOTALL)
    commands, settings = (dict(code)[kind] for kind in ("sh", "toml"))
    PrepareConfig.model_validate(tomllib.loads(settings))
    shutil.copy2(out / "tale.jsonl", tmp_path)
    (tmp_path / "settings.toml").write_text(settings, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for line in commands.splitlines():
        extra = sets(["errors.budget=5"]) if " prepare " in line else []
        assert cli.run([*shlex.split(line)[1:], *extra]) == 0
    again, run = find_latest("runs", "pack"), run_of(out, "pack")
    assert manifest_digest(again) == manifest_digest(run)


def test_equal_runs_made_elsewhere_differ_in_the_day_of_sealing_alone(out, packed, tmp_path):
    elsewhere = tmp_path / "copied"
    shutil.copytree(out / "runs", elsewhere, ignore=shutil.ignore_patterns("telemetry.json"))
    run = open_run(elsewhere / run_of(out, "pack").id)
    assert sealed_on(run) is None and re.fullmatch(
        r"\d{4}-\d\d-\d\d", sealed_on(run_of(out, "pack"))
    )
    write(run, [open_run(elsewhere / run_of(out, "audit").id)], tmp_path / "c")
    assert (tmp_path / "c" / "README.md").read_text(encoding="utf-8") == packed[1]
    without = {key: value for key, value in packed[2].items() if key != "datePublished"}
    assert json.loads((tmp_path / "c" / "croissant.json").read_text()) == without


def test_a_mixture_takedowns_pseudonyms_and_refusals_that_were_not_honoured_are_told(out, tmp_path):
    (tmp_path / "list.csv").write_text(
        "kind,value,reason,date\ndomain,example.org,asked,2026-01-01\n"
    )
    options = [
        *OPTIONS,
        "decide.preset=none",
        "errors.budget=5",
        f"decide.takedown={tmp_path / 'list.csv'}",
        "annotate.author_key=hush-hush",
        "pack.mask_personal=false",
        'pack.mixture.by=["lang"]',
        "pack.mixture.weights={'lang=zh'=4.0}",
        "pack.mixture.max_repeats=8",
        "decide.rights={honour_opt_outs=false,allow_unknown=true,licences=['CC-*']}",
    ]
    assert (
        cli.run(
            [
                "prepare",
                "--in",
                str(out / "tale.jsonl"),
                "--out",
                str(tmp_path / "r"),
                *sets(options),
            ]
        )
        == 0
    )
    run = find_latest(tmp_path / "r", "pack")
    page, told = card_of(run, tmp_path / "hub")
    made = gather(run, [], tmp_path)
    assert (
        made.distinct
        < made.rows
        == sum(split["documents"] for split in run.details["splits"].values())
    )
    assert (
        "The training split is a mixture" in page
        and "| lang=zh |" in page
        and "more than once, on purpose" in page
    )
    rights = section(page, "Rights and takedowns")
    assert (
        "Licences allowed: CC-\\*; documents of unknown licence are allowed." in rights
        and "are **kept**" in rights
    )
    assert "the list has 1 request; documents dropped by it: 0" in rights
    assert "--set decide.takedown=takedown.csv" in section(page, "How to reproduce it")
    assert (
        "keyed pseudonyms" in page
        and "is secret and not told" in page
        and "author_key =" not in page
    )
    assert "**left in the text**" in section(page, "Personal data") and "| email | 2 |" in page
    assert told["rai:personalSensitiveInformation"][1] == "email: 2 spans"
    settings = dict(re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL))["toml"]
    assert tomllib.loads(settings)["pack"]["mixture"]["weights"] == {"lang=zh": 4.0}


# ---- what is refused


def test_a_card_without_the_runs_behind_it_is_refused(out, tmp_path, capsys):
    run = run_of(out, "pack")
    shutil.copytree(run.path, tmp_path / run.id)
    assert cli.run(["card", str(tmp_path / run.id), "--out", str(tmp_path / "c")]) == 2
    error, missing = capsys.readouterr().err, [record["name"] for record in run.manifest["inputs"]]
    assert "a card needs the runs that the data were made from" in error
    assert [name.split("-")[0] for name in missing] == [
        "decide",
        "tokenizer",
    ] and f"missing  {', '.join(missing)}\n" in error
    assert not (tmp_path / "c").exists()


def test_a_run_whose_data_are_not_published_has_no_card(out, tmp_path, capsys):
    assert cli.run(["card", str(run_of(out, "decide").path), "--out", str(tmp_path / "c")]) == 2
    assert "give a run of pack or export-text" in capsys.readouterr().err


def test_a_file_where_the_folder_should_be_is_refused(out, tmp_path, capsys):
    (tmp_path / "c").write_text("mine")
    assert cli.run(["card", str(run_of(out, "pack").path), "--out", str(tmp_path / "c")]) == 2
    assert (
        "a card is a folder" in capsys.readouterr().err and (tmp_path / "c").read_text() == "mine"
    )


DAMAGE = {
    "cut": (lambda raw: raw[:-9], "it has {cut} bytes, and {size} were sealed"),
    "longer": (lambda raw: raw + b"x", "it has {longer} bytes, and {size} were sealed"),
    "empty": (lambda raw: b"", "it has 0 bytes, and {size} were sealed"),
    "flipped": (
        lambda raw: raw[:-300] + bytes([raw[-300] ^ 1]) + raw[-299:],
        "the SHA-256 differs",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_shard_writes_no_card_and_is_named(out, tmp_path, kind, capsys):
    shutil.copytree(out / "runs", tmp_path / "r")
    run = open_run(tmp_path / "r" / run_of(out, "pack").id)
    shard = next(
        run.path / file.path for file in run.data_files("train/") if file.path.endswith(".arrow")
    )
    raw, (damage, told) = shard.read_bytes(), DAMAGE[kind]
    shard.write_bytes(damage(raw))
    assert cli.run(["card", str(run.path), "--out", str(tmp_path / "c")]) == 2
    error = capsys.readouterr().err
    assert "train/data-00000-of-00001.arrow" in error and not (tmp_path / "c").exists()
    assert told.format(cut=len(raw) - 9, longer=len(raw) + 1, size=len(raw)) in error


def test_an_unfinished_audit_is_refused(out, tmp_path, capsys):
    shutil.copytree(out / "runs", tmp_path / "r")
    audit = tmp_path / "r" / run_of(out, "audit").id
    (audit / "manifest.json").unlink()
    assert (
        cli.run(["card", str(tmp_path / "r" / run_of(out, "pack").id), "--audit", str(audit)]) == 2
    )
    assert "unfinished" in capsys.readouterr().err


# ---- what is written down twice


def test_the_card_knows_the_placeholders_columns_and_reasons_of_the_steps():
    assert PLACEHOLDERS == PLACEHOLDER and LEFT_OUT == SCAFFOLD
    assert set(OWN_REASONS) == {"empty_after_cuts", "mixture"}
