"""What a data card says plainly: who can be named, what a refusal counts, on what models were trained, where cards lie."""

import json
from collections import Counter
from types import SimpleNamespace

import pyarrow as pa
import pytest

from gristmill.errors import RunError, UserError
from gristmill.runs.finished import open_parents
from reports.card.about import About, contact_of, given_or_not
from reports.card.biases import basis, models, never
from reports.card.checks import audits_of, card_of, check_place, check_sealed
from reports.card.columns import stated_features
from reports.card.content import Loss, absent
from reports.card.croissant import creator
from reports.card.front import licence_lines
from reports.card.markup import bullets
from reports.card.policies import authors, judged_twice
from reports.card.scan import scan
from reports.card.settings import budget

SCHEMA = pa.schema([("n", pa.int64())])


def run(step, hex="1" * 12, parents=(), **rest):
    return SimpleNamespace(id=f"{step}-{hex}", step=step, parents=parents, **rest)


# ---- authors and addresses


def of_people(packed, pseudonyms, columns=(), authored=None, addressed=None):
    found = SimpleNamespace(authors=Counter(authored or {}), addresses=Counter(addressed or {}))
    return SimpleNamespace(
        packed=packed,
        pseudonyms=pseudonyms,
        scan=found,
        columns=[SimpleNamespace(name=name) for name in columns],
        last=lambda step: run(step),
    )


def test_a_pack_says_that_it_has_no_authors_and_addresses_and_which_run_has():
    card = of_people(
        True, True, ["id"], {"social": 150, "news": 206}, {"social": 150, "wiki": 1126}
    )
    assert list(authors(card)) == [
        "Authors of social posts and of news pages are replaced by keyed pseudonyms in the column `author` (news 206, social 150).",
        "Addresses in the column `url` are kept as they were read and can name authors: that of a social post holds its author's handle. Kept documents with an address: wiki 1,126, social 150.",
        "This holds for `annotate-111111111111` and for text exported from it. Shards have no column `author` or `url`; `gristmill shards decode` shows both where `annotate-111111111111` lies beside the shards.",
    ]


def test_exported_text_says_which_of_its_columns_name_authors():
    told = list(authors(of_people(False, False, ["id", "url", "text"], None, {"news": 2})))
    assert (
        told[0]
        == "Authors of social posts and of news pages are left out: the column `author` is empty."
    )
    assert (
        told[2] == "This holds for `annotate-111111111111`; of these columns this text has `url`."
    )
    assert list(authors(of_people(False, True)))[1:] == [
        "No kept document has an address in the column `url`.",
        "This holds for `annotate-111111111111`; of these columns this text has none.",
    ]
    both = list(authors(of_people(False, True, ["author", "url"])))
    assert both[2].endswith("this text has `author` and `url`.") and "(none has any)" in both[0]


def test_pseudonyms_and_addresses_are_counted_of_kept_documents_by_kind(family):
    family.columns = {
        "a": {"kind": "social", "author": "f" * 32, "url": "https://s.example/@ann/1"},
        "b": {"kind": "social", "author": None, "url": "https://s.example/@bob/2"},
        "c": {"kind": "news", "author": "e" * 32, "url": None},
        "d": {"kind": "social", "author": "f" * 32, "url": "https://s.example/@ann/3"},
    }
    decided = family.make([("a", 1), ("d", 1, "a", 0.9), ("b", None), ("c", None)])
    found = scan(open_parents(decided)[0], decided)
    assert found.authors == {"social": 1, "news": 1} and found.addresses == {"social": 2}


# ---- what figures count


def test_a_refusal_that_crawl_and_decide_both_count_is_said_to_be_one():
    losses = (
        Loss("crawl", "dropped", "opt_out", 12, ""),
        Loss("decide", "dropped", "opt_out", 11, ""),
    )
    assert list(judged_twice(SimpleNamespace(losses=losses))) == [
        "\nWhat `crawl` dropped as `opt_out` (12) is a judgment: the captures stay as evidence, `annotate` reads them, and `decide` drops their text. The 11 that `decide` dropped as `opt_out` are the same documents, as far as `annotate` could read them: do not add the two."
    ]
    assert list(judged_twice(SimpleNamespace(losses=losses[1:]))) == []


def of_models():
    own, other = "pack-aaaaaaaaaaaa", "pack-bbbbbbbbbbbb"
    chain = (
        run("pack", "a" * 12, ("decide-1",)),
        run("pack", "b" * 12, ("decide-1",)),
        run("pretrain", "c" * 12, (own,)),
        run("pretrain", "d" * 12, (other,)),
        run("pretrain", "e" * 12, ("pretrain-dddddddddddd",)),
    )
    return SimpleNamespace(run=run("pack", "a" * 12), runs=chain, packed=True)


def test_a_model_that_was_trained_on_another_pack_is_told_as_such():
    names = ("pretrain-cccccccccccc", "pretrain-dddddddddddd", "pretrain-eeeeeeeeeeee", "bert-base")
    audit = SimpleNamespace(content={"models": [{"name": name} for name in names]})
    assert list(models(of_models(), audit)) == [
        "The model `pretrain-cccccccccccc` was trained on `pack-aaaaaaaaaaaa`.",
        "The model `pretrain-dddddddddddd` was trained on `pack-bbbbbbbbbbbb`, not on this one.",
        "The model `pretrain-eeeeeeeeeeee` was trained on `pack-bbbbbbbbbbbb`, not on this one.",
        "The model `bert-base` was not trained by a run that is known here: its figures say nothing of this corpus.",
    ]


def of_rows(kept, distinct, rows, groups=()):
    return SimpleNamespace(
        scan=SimpleNamespace(kept=kept),
        distinct=distinct,
        rows=rows,
        repeats=rows != distinct,
        left_out=kept - distinct,
        run=SimpleNamespace(details={"mixture": list(groups)}),
    )


def test_figures_of_the_corpus_say_what_the_rows_repeat_and_leave_out():
    mixed = of_rows(
        482, 433, 550, [{"key": "lang=en", "times": 0.8598}, {"key": "lang=zh", "times": 1.7196}]
    )
    assert list(basis(mixed)) == [
        "Figures of the corpus count each of the 482 documents that `decide` kept once; this run leaves out 49 of them and writes 433 documents in 550 rows, so shares differ in its rows (on average lang=en 0.86 times and lang=zh 1.72 times)."
    ]
    assert next(basis(of_rows(5, 5, 9))).endswith(
        "this run writes 5 documents in 9 rows, so shares differ in its rows."
    )
    assert next(basis(of_rows(5, 4, 4))).endswith(
        "this run leaves out 1 of them, so shares differ in its rows."
    )
    assert list(basis(of_rows(5, 5, 5))) == []


def test_groups_that_are_never_mentioned_are_named_by_language_and_axis():
    groups = {
        "age/old": {"mentions": 0},
        "class/rich": {"mentions": 0},
        "class/poor": {"mentions": 0},
        "age/young": {"mentions": 1},
    }
    assert list(never([{"lang": "zh", "groups": groups}])) == [
        "Chinese (zh); age: old; class: rich, poor"
    ]
    assert list(never([{"lang": "zh", "groups": {"age/young": {"mentions": 1}}}])) == []


def test_records_that_cannot_be_read_come_with_the_budget_that_lets_them_pass():
    def card(lost, packed=True):
        return SimpleNamespace(
            packed=packed, last=lambda _: SimpleNamespace(counts={"quarantined": lost})
        )

    assert budget(card(0)) == ""
    assert budget(card(1200, False)) == (
        "`annotate` ends with exit code 3, and the run is complete, where more records cannot be read than `errors.budget` allows: here 1,200, so `--set errors.budget=1200` ends with 0. The budget is no part of run ids and was not recorded."
    )


# ---- form


def test_a_long_bullet_is_cut_into_sub_bullets_and_a_short_one_is_not():
    assert list(bullets("a; b. c")) == ["- a; b. c"]
    long = f"{'a' * 199}; b 0.5 c. D ({'e' * 9})"
    assert list(bullets(long)) == [f"- {'a' * 199}", "  - b 0.5 c.", f"  - D ({'e' * 9})"]
    assert list(bullets("a" * 200)) == [f"- {'a' * 200}"]


def test_types_that_were_stated_are_written_as_yaml():
    features = [
        {"name": "id", "dtype": "string"},
        {"name": "opt_out", "list": "string"},
        {"name": "capture", "struct": [{"name": "file", "dtype": "string"}]},
        {"name": "cuts", "list": [{"name": "start", "dtype": "int32"}]},
        {"name": "deep", "list": {"list": "int8"}},
    ]
    assert list(stated_features(features)) == [
        "  - name: id",
        "    dtype: string",
        "  - name: opt_out",
        "    list: string",
        "  - name: capture",
        "    struct:",
        "    - name: file",
        "      dtype: string",
        "  - name: cuts",
        "    list:",
        "    - name: start",
        "      dtype: int32",
        "  - name: deep",
        '    list: {"list": "int8"}',
    ]


def test_one_licence_that_the_hub_does_not_know_is_linked_to_its_page_and_several_to_the_list():
    link = 'license_link: "https://spdx.org/licenses/'
    assert f'{link}PSF-2.0.html"' in list(licence_lines(["PSF-2.0", "MIT"]))
    assert f'{link}"' in list(licence_lines(["PSF-2.0", "CC-PDDC"]))
    assert not [line for line in licence_lines(["LicenseRef-own"]) if "license_link" in line]


# ---- who publishes


def test_the_contact_is_that_of_the_crawls_unless_one_is_given():
    crawls = [
        SimpleNamespace(config={"contact": address})
        for address in ("a@x.org", " ", "https://x.org", "a@x.org")
    ]
    assert (
        contact_of(crawls) == "a@x.org, https://x.org"
        and contact_of([SimpleNamespace(config={})]) == ""
    )
    assert (
        given_or_not("", "--contact") == "not given; give --contact"
        and given_or_not("me", "--x") == "me"
    )


def test_a_creator_is_told_with_the_contact_and_left_out_where_none_was_given():
    def card(creator, contact):
        return SimpleNamespace(about=About(creator=creator), contact=contact)

    name = {"@type": "sc:Organization", "name": "The mill"}
    assert creator(card("The mill", "a@x.org")) == {"creator": name | {"email": "a@x.org"}}
    assert creator(card("The mill", "https://x.org")) == {
        "creator": name | {"url": "https://x.org"}
    }
    assert (
        creator(card("The mill", "")) == {"creator": name} and creator(card(None, "a@x.org")) == {}
    )


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "2026-03", "1.0.0 beta"])
def test_a_version_without_three_numbers_is_refused(version):
    with pytest.raises(UserError, match="a version has three numbers"):
        About(version=version).check()


@pytest.mark.parametrize("version", ["1.0.0", "10.2.33-rc1", "0.0.0+51543abdafff", None])
def test_a_version_of_three_numbers_is_taken(version):
    About(version=version).check()


# ---- where a card goes


def laid(folder, cited, audits=()):
    folder.mkdir(exist_ok=True)
    (folder / "croissant.json").write_text(json.dumps({"citeAs": cited}))
    (folder / "README.md").write_text(f"# x\n| audit | {' and '.join(audits) or 'none'} |\n")
    return folder


def test_a_card_replaces_one_of_its_own_run_alone(family, tmp_path):
    mine = family.seal("pack", "x", SCHEMA, [])
    check_place(mine, tmp_path / "new")
    check_place(
        mine,
        laid(tmp_path / "mine", f"{mine.id}, made by Gristmill 0.1.0; SHA-256 of its manifest 0"),
    )
    with pytest.raises(UserError, match=r"another card lies there\n.*\n.*pack-0123456789ab"):
        check_place(mine, laid(tmp_path / "other", "pack-0123456789ab, made by Gristmill 0.1.0"))
    (laid(tmp_path / "foreign", "") / "croissant.json").write_text("[]")
    with pytest.raises(UserError, match="another card lies there"):
        check_place(mine, tmp_path / "foreign")
    (tmp_path / "words").mkdir()
    (tmp_path / "words/README.md").write_text("mine")
    with pytest.raises(UserError, match=r"another README\.md lies there"):
        check_place(mine, tmp_path / "words")


def test_the_audits_of_a_card_are_read_from_its_page(tmp_path):
    two = laid(
        tmp_path / "a", "pack-1, made by Gristmill", ["audit-0123456789ab", "audit-ba9876543210"]
    )
    assert (
        audits_of(two) == ("audit-0123456789ab", "audit-ba9876543210") and card_of(two) == "pack-1"
    )
    assert (
        audits_of(laid(tmp_path / "b", "x")) == ()
        and audits_of(tmp_path) is None
        and card_of(tmp_path) is None
    )


def test_all_files_that_are_not_as_sealed_are_named(family):
    made = family.seal("pack", "x", SCHEMA, [[], [], []])
    check_sealed(made)
    first, second, third = made.files("x/")
    third.write_bytes(third.read_bytes()[:-1] + b"?")
    with pytest.raises(
        RunError,
        match=r"x/part-00002.parquet +its content is not what was sealed: the SHA-256 differs",
    ):
        check_sealed(made)
    size = first.stat().st_size
    first.unlink()
    second.write_bytes(b"12")
    with pytest.raises(RunError) as caught:
        check_sealed(made)
    assert caught.value.where == {
        "run": made.path,
        "x/part-00000.parquet": "there is no such file",
        "x/part-00001.parquet": f"it has 2 bytes, and {size} were sealed",
    }


def test_runs_that_are_not_there_are_named_and_files_are_not(family):
    decided = family.make([("a", None)])
    packed = family.seal("pack", "x", SCHEMA, [], [decided])
    assert absent(packed) == ()
    (decided.path / "manifest.json").unlink()
    assert absent(packed) == (decided.id,)
