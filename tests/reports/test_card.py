"""The parts of a data card: one pass over documents, Markdown that holds anything, YAML, TOML, licences, columns, audits."""

import itertools
import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from reports.chain.report_data import RunSummary

from gristmill.errors import InputError, RunError
from gristmill.rights.policy import SPDX_IDS
from gristmill.runs.finished import corpus_lineage, open_parents
from gristmill.runs.ledger import Entry
from reports.card.biases import interval, leaning, mentions
from reports.card.columns import Column, croissant_field, croissant_type, hub_features
from reports.card.content import Loss, check_audit, losses
from reports.card.croissant import encoding
from reports.card.front import licence_lines, pattern, told_languages, yaml
from reports.card.licences import address, hub_id, unlisted
from reports.card.markup import SHOWN, Code, table, text
from reports.card.policies import unread
from reports.card.scan import Dates, Scan, scan
from reports.card.settings import bare, quoted, settings_of, written

# ---- one pass over documents


def moment(day):
    return datetime(2026, 3, day, 23, 59, tzinfo=UTC)


DOCUMENTS = {
    "a": {"source": "wiki", "licence": "CC-BY-4.0", "published": moment(2), "fetched": moment(5)},
    "b": {
        "source": "wiki",
        "licence": "unknown",
        "evidence": [{"signal": "license", "value": "see the site"}],
    },
    "c": {
        "source": "wiki",
        "licence": "unknown",
        "evidence": [{"signal": "license", "value": "ask us"}] * 2,
    },
    "d": {"source": "news", "licence": "unknown", "evidence": None, "published": moment(1)},
    "e": {"source": "news", "licence": "unknown", "evidence": [], "opt_out": ["noai", "paywall"]},
    "f": {
        "source": "news",
        "opt_out": None,
        "published": moment(9),
        "personal": [
            {"start": 0, "end": 2, "type": "email"},
            {"start": 3, "end": 4, "type": "ip"},
            {"start": 5, "end": 6, "type": "ip"},
        ],
    },
    "g": {
        "source": "news",
        "licence": "unknown",
        "opt_out": ["noai"],
        "personal": [{"start": 0, "end": 2, "type": "phone"}],
        "published": moment(30),
    },
}


@pytest.fixture
def judged(family):
    """Seven documents in two shards; `g` was dropped as a copy of `a`."""
    family.columns = DOCUMENTS
    rows = [(id, None) for id in "bcdef"]
    decided = family.make([("a", 1), ("g", 1, "a", 0.9), *rows], shards=2)
    return open_parents(decided)[0], decided


def test_licences_refusals_personal_data_dates_and_copies_are_counted_of_kept_documents(judged):
    found = scan(*judged)
    assert (found.read, found.kept) == (7, 6)
    assert found.licences == {
        ("wiki", "CC-BY-4.0"): 1,
        ("wiki", "unknown"): 2,
        ("news", "unknown"): 2,
        ("news", "MIT"): 1,
    }
    assert dict(found.of_licence()) == {"unknown": 4, "CC-BY-4.0": 1, "MIT": 1}
    assert dict(found.of_source("wiki")) == {"unknown": 2, "CC-BY-4.0": 1}
    assert found.refused_read == {"noai": 2, "paywall": 1} and found.refused_kept == {
        "noai": 1,
        "paywall": 1,
    }
    assert found.personal == {"email": 1, "ip": 2}
    assert found.dates("published") == Dates(date(2026, 3, 1), date(2026, 3, 9), 3)
    assert found.dates("fetched") == Dates(date(2026, 3, 5), date(2026, 3, 5), 5)
    assert (found.copied, found.largest) == (1, 2)


def test_why_a_licence_is_unknown_is_counted_once_a_document_with_the_first_example(judged):
    found = scan(*judged)
    assert found.stated == {("wiki", "license"): 2} and found.examples == {
        ("wiki", "license"): "ask us"
    }
    assert found.silent == {"news": 2}


def test_batches_of_any_size_give_equal_counts(judged, monkeypatch):
    whole = scan(*judged)
    for size in (1, 2, 3):
        monkeypatch.setattr("reports.card.scan.BATCH", size)
        assert scan(*judged) == whole


def test_an_empty_corpus_has_no_licences_and_no_dates(family):
    decided = family.make([])
    found = scan(open_parents(decided)[0], decided)
    assert found.kept == 0 and not found.of_licence() and found.dates("published") is None


def test_documents_in_which_personal_data_were_not_looked_for_say_so():
    schema = {
        "source": ["s"],
        "licence": ["MIT"],
        "evidence": pa.array(
            [[]], pa.list_(pa.struct([("signal", pa.string()), ("value", pa.string())]))
        ),
        "opt_out": pa.array([[]], pa.list_(pa.string())),
        "published": pa.array([None], pa.timestamp("ms", tz="UTC")),
        "fetched": pa.array([None], pa.timestamp("ms", tz="UTC")),
        "keep": [True],
        "cluster_size": pa.array([1], pa.int32()),
    }
    found = Scan()
    found.add(pa.table(schema))
    assert found.personal is None and found.kept == 1


def test_decisions_that_do_not_fit_the_documents_are_refused(judged, family):
    other = family.make([("x", None)])
    with pytest.raises(RunError, match="not as many shards"):
        scan(judged[0], other)
    uneven = family.make([(id, None) for id in "bcdeghijk"], shards=2)
    with pytest.raises(RunError, match="not as many rows"):
        scan(judged[0], uneven)


def test_a_cut_shard_of_documents_is_refused(judged):
    path = judged[0].files("documents/")[1]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match="missing or cut"):
        scan(*judged)


# ---- audits


def test_an_audit_of_another_corpus_is_refused_and_one_of_this_is_not(family):
    decided = family.make([("a", None)])
    mine, line = (
        family.seal("audit", "x", pa.schema([("n", pa.int64())]), [], [decided]),
        corpus_lineage(decided),
    )
    check_audit(mine, line)
    other = family.seal(
        "audit", "x", pa.schema([("n", pa.int64())]), [], [family.make([("b", None)])]
    )
    with pytest.raises(InputError, match="another corpus"):
        check_audit(other, line)
    with pytest.raises(InputError, match="no corpus"):
        check_audit(family.seal("audit", "x", pa.schema([("n", pa.int64())]), []), line)


def estimate(value, n=9):
    return {"value": value, "low": value - 1, "high": value + 1, "n": n}


def test_figures_of_an_audit_carry_interval_and_n():
    assert interval(estimate(-1234.567)) == "-1,234.57 [-1,235.57, -1,233.57]"
    groups = {
        "gender/female": {"mentions": 3, "per_million": estimate(2.0)},
        "gender/male": {"mentions": 0, "per_million": estimate(0)},
    }
    assert list(mentions([{"lang": "zh", "groups": groups}])) == [
        ("Chinese (zh)", "gender/female", 3, "2.0 [1.0, 3.0]", 9)
    ]


def test_only_words_beyond_chance_are_told_and_of_many_the_ends():
    rows = [
        {
            "lang": "en",
            "axis": "gender",
            "term": f"t{i}",
            "p_holm": 0.01,
            "log_odds": estimate(float(i)),
        }
        for i in range(20)
    ]
    rows.append(
        {
            "lang": "en",
            "axis": "gender",
            "term": "chance",
            "p_holm": 0.2,
            "log_odds": estimate(99.0),
        }
    )
    corpus = {
        "association_totals": [{"lang": "en", "axis": "gender", "groups": ["f", "m"]}],
        "associations": rows,
    }
    assert [row[2] for row in leaning(corpus)] == [
        f"t{i}" for i in (19, 18, 17, 16, 15, 4, 3, 2, 1, 0)
    ]


# ---- losses


def facts(step, entries, details=None, config=None, main=True):
    return RunSummary(
        f"{step}-1",
        step,
        "0",
        "",
        (),
        (),
        0,
        main,
        {},
        details or {},
        config or {},
        tuple(entries),
        0,
        0,
        "",
        0,
        {},
    )


def test_losses_are_summed_over_sources_explained_and_those_repeated_of_decide_left_out():
    entries = [
        Entry("s", "en", "dropped", "too_short", 2, 0),
        Entry("t", "zh", "dropped", "too_short", 3, 0),
        Entry("s", "en", "dropped", "mystery", 1, 0),
        Entry("s", "en", "kept", "", 9, 0),
    ]
    rules = {
        "reasons": ["too_short"],
        "rules": [{"name": "too_short", "signal": "words", "min": 4.0, "max": None}],
    }
    packed = [
        Entry("s", "en", "dropped", "decided", 6, 0),
        Entry("s", "en", "dropped", "mixture", 1, 0),
        Entry("s", "en", "quarantined", "not_utf8", 1, 0),
    ]
    assert losses(
        [facts("decide", entries, rules), facts("pack", packed), facts("x", entries, main=False)],
        {},
    ) == [
        Loss("decide", "dropped", "too_short", 5, "words < 4"),
        Loss("decide", "dropped", "mystery", 1, ""),
        Loss("pack", "dropped", "mixture", 1, "the mixture never writes it"),
        Loss("pack", "quarantined", "not_utf8", 1, "the bytes are no UTF-8 text"),
    ]


class Chain:
    """A card's runs, as `unread` sees them."""

    def __init__(self, **lost):
        self.runs = [
            replace(facts(step, []), counts={"quarantined": number})
            for step, number in lost.items()
        ]


def test_what_could_not_be_read_is_told_step_by_step_and_never_summed():
    assert unread(Chain(crawl=4, annotate=2, decide=0)) == "4 in crawl and 2 in annotate"
    assert unread(Chain(annotate=0)) == "none"


# ---- Markdown


def cells(page):
    """The cells of the tables of a page, as a reader of GitHub's Markdown sees them, and all other kinds of token."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    found = []
    for before, token in itertools.pairwise(tokens):
        if token.type == "inline" and before.type in ("td_open", "th_open"):
            kinds = {child.type for child in token.children}
            found.append((kinds, "".join(child.content for child in token.children)))
    return found


NAMES = st.text(
    st.sampled_from("ab中文 \\`*_[](){}<>!#&|~:;-+./='\"\n\t1²\u2028é"), max_size=14
) | st.text(max_size=8)


@given(NAMES.filter(lambda name: "\x00" not in name))
def test_whatever_a_name_holds_a_cell_shows_it_and_nothing_else(name):
    shown = cells("\n".join(table(["a", "b"], [(name, "end")])))
    assert [content for _, content in shown] == ["a", "b", " ".join(name.split()), "end"]
    assert shown[2][0] <= {"text", "text_special"}


@given(NAMES.filter(lambda name: "\x00" not in name and name.strip()))
def test_code_shows_a_name_in_one_cell(name):
    kinds, content = cells("\n".join(table(["a", "b"], [(Code(name), "end")])))[2]
    assert content.strip() == " ".join(name.split()).replace("`", "'").strip() and kinds == {
        "code_inline"
    }


def test_names_of_every_day_are_not_disfigured():
    for name in (
        "wikinews-ja (tokenised by MeCab)",
        "laws-cn",
        "中文维基百科",
        "words < 4",
        "snake_case",
        "[0.1, 0.2]",
    ):
        assert text(name) == name
    assert (
        text("<b>x</b>") == "&lt;b>x&lt;/b>" and text(1234567) == "1,234,567" and text(0.5) == "0.5"
    )


def test_a_long_table_says_how_much_it_leaves_out():
    lines = list(table(["n", "name"], [(i, "x") for i in range(SHOWN + 1234)], rest="licences"))
    assert lines[1] == "|---:|---|" and len(lines) == 2 + SHOWN + 1
    assert lines[-1] == "\n1,234 more licences are left out here."


# ---- the front matter


def test_front_matter_is_yaml_whatever_a_name_holds():
    assert list(yaml("a", 'x: "y"\n- 中')) == ['a: "x: \\"y\\"\\n- 中"']
    assert list(yaml("a", [])) == [] and list(yaml("a", ["b"])) == ["a:", '- "b"']


def test_languages_of_a_few_words_and_labels_that_are_no_codes_are_not_claimed():
    sizes = {"en": 99_990, "la": 5, "und": 500, "zh": 1_000, "zh-classical": 900, "yue": 400}
    assert told_languages(sizes) == ["en", "zh", "yue"]
    assert told_languages({}) == []


def test_licences_have_the_identifiers_of_the_hub():
    wanted = {
        "CC-BY-4.0": "cc-by-4.0",
        "GFDL-1.3-or-later": "gfdl",
        "GPL-2.0-only": "gpl-2.0",
        "AGPL-3.0-or-later": "agpl-3.0",
        "ODbL-1.0": "odbl",
        "ODC-By-1.0": "odc-by",
        "PDDL-1.0": "pddl",
        "unknown": "unknown",
        "CC-BY-1.0": "other",
        "CC-BY-SA-3.0-DE": "other",
        "CC-PDDC": "other",
        "LGPL-2.1-or-later": "lgpl-2.1",
        "Unlicense": "unlicense",
    }
    assert {name: hub_id(name) for name in wanted} == wanted
    assert unlisted(["MIT", "CC-PDDC", "CC-BY-1.0"]) == ["CC-BY-1.0", "CC-PDDC"]


def test_a_licence_the_hub_does_not_know_is_named_beside_other():
    assert list(licence_lines(["MIT", "CC-PDDC"])) == [
        "license:",
        '- "mit"',
        '- "other"',
        'license_name: "cc-pddc"',
        'license_link: "https://spdx.org/licenses/CC-PDDC.html"',
    ]
    assert 'license_name: "other-spdx-licences"' in list(licence_lines(["CC-PDDC", "OGL-UK-3.0"]))
    assert list(licence_lines([])) == ["license:", '- "unknown"']


def test_a_licence_is_an_address_where_it_is_one():
    assert address("CC-BY-4.0") == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert address("unknown") is None and address("LicenseRef-x") is None
    assert all(address(name) for name in SPDX_IDS)


def test_files_of_a_split_are_named_by_their_ending():
    assert pattern("train/data-00000-of-00010.arrow") == "train/*.arrow"
    assert pattern("text/part-00000.jsonl.zst") == "text/*.jsonl.zst"


# ---- columns

PLAIN = st.sampled_from(
    [
        pa.string(),
        pa.bool_(),
        pa.int8(),
        pa.int32(),
        pa.uint16(),
        pa.uint64(),
        pa.float32(),
        pa.float64(),
        pa.binary(),
        pa.timestamp("ms", tz="UTC"),
        pa.timestamp("s"),
    ]
)
STRUCTS = st.lists(PLAIN, min_size=1, max_size=3).map(
    lambda kinds: pa.struct([(f"m{i}", k) for i, k in enumerate(kinds)])
)
TYPES = PLAIN | STRUCTS | PLAIN.map(pa.list_) | STRUCTS.map(pa.list_)


@given(st.lists(TYPES, min_size=1, max_size=4))
def test_columns_are_written_as_datasets_writes_them(kinds):
    datasets = pytest.importorskip("datasets", reason="the extra `dev` brings datasets")
    yaml_reader = pytest.importorskip("yaml", reason="datasets brings PyYAML")
    schema = pa.schema([(f"c{i}", kind) for i, kind in enumerate(kinds)])
    ours = yaml_reader.safe_load(
        "\n".join(hub_features([Column(one.name, one.type, "") for one in schema]))
    )
    assert ours == datasets.Features.from_arrow_schema(schema)._to_yaml_list()


def test_members_of_a_struct_are_sub_fields_found_by_their_path():
    kind = pa.list_(pa.struct([("signal", pa.string()), ("n", pa.int32())]))
    field = croissant_field(Column("evidence", kind, "why"), "train")
    assert field["repeated"] is True and "dataType" not in field and field["description"] == "why"
    assert [(part["name"], part["dataType"]) for part in field["subField"]] == [
        ("train/evidence/signal", "sc:Text"),
        ("train/evidence/n", "sc:Integer"),
    ]
    assert field["subField"][0]["source"] == {
        "fileSet": {"@id": "train"},
        "extract": {"column": "evidence"},
        "transform": {"jsonPath": "signal"},
    }


def test_a_column_without_a_meaning_has_no_description():
    assert "description" not in croissant_field(Column("x", pa.float32(), ""), "train")


def test_plain_types_have_the_types_of_schema_org():
    wanted = {
        pa.uint16(): "sc:Integer",
        pa.float32(): "sc:Float",
        pa.bool_(): "sc:Boolean",
        pa.string(): "sc:Text",
        pa.timestamp("ms"): "sc:DateTime",
        pa.binary(16): "sc:Text",
    }
    assert {kind: croissant_type(kind) for kind in wanted} == wanted


def test_files_have_media_types():
    assert encoding("train/data-00000-of-00001.arrow") == "application/vnd.apache.arrow.stream"
    assert encoding("text/part-00000.jsonl.gz") == "application/gzip"
    assert (
        encoding("tokenizer/tokenizer.model") == encoding("LICENSE") == "application/octet-stream"
    )


# ---- settings

VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), VALUES)
def test_settings_are_read_back_by_a_reader_of_toml(key, value):
    assert tomllib.loads(f"{bare(key)} = {written(value)}") == {key: value}


def test_what_is_not_set_or_withheld_or_no_mixture_is_left_out():
    config = {
        "author_key": "(withheld)",
        "takedown": None,
        "near": {"threshold": None, "rows": 8},
        "mixture": {"by": [], "most": 4.0},
    }
    assert settings_of(facts("pack", [], config=config)) == {"near": {"threshold": None, "rows": 8}}
    assert (
        written({"threshold": None, "rows": 8}) == "{ rows = 8 }" and written({"a": None}) == "{}"
    )
    mixed = {"mixture": {"by": ["lang"]}}
    assert settings_of(facts("pack", [], config=mixed)) == mixed


def test_file_names_are_quoted_for_a_shell():
    assert [quoted(name) for name in ("a-1.parquet", "two words", "it's", "*.gz")] == [
        "a-1.parquet",
        "'two words'",
        "'it'\\''s'",
        "'*.gz'",
    ]
