"""What `explore` finds in run folders equals what a plain loop over the documents finds, and foreign or broken runs are refused."""

import dataclasses
import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill import cli
from gristmill.config import Config
from gristmill.corpus.decision import DECISION_SCHEMA, DOCUMENT_SHARD_KEY
from gristmill.corpus.document import DOCUMENT_SCHEMA
from gristmill.errors import ConfigError, RunError
from gristmill.hashing import key64
from gristmill.runs import storage
from gristmill.runs.finished import open_run
from gristmill.runs.run import start_run
from pipelines.annotate.signals.table import NUMBERS, SIGNAL_FIELDS
from pipelines.contract import (
    FIXED_REASONS,
    build_legend,
    choose_rules,
    judge_documents,
    load_preset_rules,
)
from pipelines.decide.config import Bound, CustomRule, DecideConfig
from reports.explore import source as source_module
from reports.explore.collect import SHOWN, ExploreChoice, collect_rules
from reports.explore.nearest import MOST
from reports.explore.source import iter_batches, open_source, read_rule

SCHEMA = pa.schema([*DOCUMENT_SCHEMA, *SIGNAL_FIELDS])
GOOD = {
    "words": 100,
    "mean_word_length": 5.0,
    "alpha_word_ratio": 1.0,
    "stop_words": 5,
    "sentences": 9,
    "terminal_line_ratio": 1.0,
}
CONFIG = DecideConfig()


class Settings(Config):
    """A step's configuration, for the name."""

    word: str = ""


def document(number, **columns):
    made = {field.name: 0 for field in SIGNAL_FIELDS[: len(NUMBERS)]} | GOOD
    made |= {
        "id": f"{number:032x}",
        "text": f"Text {number}.",
        "title": f"Title {number}",
        "source": "somewhere",
        "kind": "wiki",
        "lang": "en",
        "lang_score": 0.9,
        "script": "Latn",
        "script_share": 1.0,
        "licence": "MIT",
        "opt_out": [],
        "personal": [],
        "text_bytes": 7,
        "text_hash": bytes(16),
        "line_hashes": [],
    }
    return made | columns


def write(run, folder, number, rows, schema):
    with storage.open_for_commit(run.path / folder / f"part-{number:05d}.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=3)


def annotated(out, shards, schema=SCHEMA, step="annotate"):
    with start_run(step, out=out, config=Settings()) as run:
        for number, rows in enumerate(shards):
            write(run, "documents", number, rows, schema)
        return run.finish()


def bits_of(rows, config=CONFIG):
    """What `decide` itself says of documents."""
    table = pa.Table.from_pylist(rows, SCHEMA)
    columns = {name: table[name].to_numpy() for name in NUMBERS}
    return judge_documents(
        columns, [r["kind"] for r in rows], [r["lang"] for r in rows], choose_rules(config), config
    )


def decided(out, shards, config=CONFIG, more=None):
    """A decide run of these documents; `more` gives further reasons by document id."""
    documents = annotated(out, shards)
    hashes = {file.path: file.sha256 for file in documents.data_files()}
    rules = choose_rules(config)
    names = build_legend(rules)
    with start_run("decide", out=out, config=config, inputs=[documents.as_input()]) as run:
        for number, rows in enumerate(shards):
            bits = [int(b) for b in bits_of(rows, config)]
            bits = [
                b | sum(1 << names.index(n) for n in (more or {}).get(r["id"], ()))
                for b, r in zip(bits, rows, strict=True)
            ]
            found = [
                {
                    "keep": b == 0,
                    "reasons": b,
                    "cluster": -1,
                    "cluster_size": 1,
                    "repeats": 1,
                    "cuts": [],
                }
                for b in bits
            ]
            own = {DOCUMENT_SHARD_KEY: hashes[f"documents/part-{number:05d}.parquet"].encode()}
            write(run, "decisions", number, found, DECISION_SCHEMA.with_metadata(own))
        return run.finish(
            details={
                "documents": documents.id,
                "reasons": names,
                "rules": [r.record() for r in rules],
            }
        )


def look(run, **choice):
    return collect_rules(open_source(run), ExploreChoice(**choice))


def rule_of(found, name):
    [rule] = [rule for rule in found.rules if rule.rule.name == name]
    return rule


shown_values = {
    "words": st.sampled_from([0, 3, 4, 30, 49, 50, 51, 5000]),
    "curly_braces": st.integers(0, 1),
    "top_2gram_ratio": st.sampled_from([0.0, 0.2, 0.2000001, 0.3, 0.30000001, 0.31, 0.5, 0.6]),
    "mean_word_length": st.sampled_from([0.9, 1.0, 3.0, 5.0, 10.0, 10.5]),
}
rows = st.fixed_dictionaries(
    {
        **shown_values,
        "kind": st.sampled_from(["wiki", "web", "social", "unheard of"]),
        "lang": st.sampled_from(["en", "zh", "ko"]),
    }
)
corpora = st.lists(st.lists(rows, min_size=1, max_size=30), min_size=1, max_size=3)


def numbered(shards):
    start = 0
    for rows in shards:
        yield [document(start + place, **row) for place, row in enumerate(rows)]
        start += len(rows)


def reference(shards, rule, seed):
    """Bounds -> (documents, dropped, the ids beside each bound), by a plain loop."""
    members = {}
    for shard, rows in enumerate(shards):
        for row, one in enumerate(rows):
            low, high = rule.bounds(one["lang"])
            mine = rule.preset in CONFIG.presets.get(one["kind"], CONFIG.presets["other"])
            if mine and (math.isfinite(low) or math.isfinite(high)):
                members.setdefault((low, high), []).append((one, shard, row))
    return {bounds: _told(found, rule, bounds, seed) for bounds, found in members.items()}


def _told(found, rule, bounds, seed):
    whole = rule.signal in ("words", "curly_braces", "stop_words", "sentences")
    held = float if whole else lambda v: float(np.float32(v))
    values = [held(one[rule.signal]) for one, _, _ in found]
    low, high = map(held, bounds)
    dropped = sum(not low <= value <= high for value in values)
    sides = {}
    for name, bound in (("min", low), ("max", high)):
        if math.isfinite(bound):
            for gone in (False, True):
                beyond = (lambda v: v < low) if name == "min" else (lambda v: v > high)
                side = [
                    (abs(value - bound), key64(one["id"], salt=seed), shard, row, one["id"])
                    for (one, shard, row), value in zip(found, values, strict=True)
                    if (beyond(value) if gone else low <= value <= high)
                ]
                sides[name, gone] = [id for *_, id in sorted(side)[:MOST]]
    return len(found), dropped, Counter(one["lang"] for one, _, _ in found), sides


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    shards=corpora, seed=st.integers(0, 3), batch=st.integers(1, 40), judged_before=st.booleans()
)
def test_counts_histograms_and_nearest_documents_are_those_of_a_plain_loop(
    tmp_path_factory, shards, seed, batch, judged_before
):
    shards = list(numbered(shards))
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_module, "BATCH", batch)
        found = look(decided(out, shards) if judged_before else annotated(out, shards), seed=seed)
    assert found.documents == sum(map(len, shards)) and found.decided is judged_before
    assert [rule.rule for rule in found.rules] == list(choose_rules(CONFIG))
    for rule in found.rules:
        told = reference(shards, rule.rule, seed)
        assert {(t.low, t.high) for t in rule.thresholds} == set(told)
        for t in rule.thresholds:
            documents, dropped, languages, sides = told[t.low, t.high]
            assert (t.documents, t.holds, t.languages, t.unmeasured) == (
                documents,
                dropped,
                dict(languages),
                0,
            )
            assert sum(t.counts) == documents
            beyond = [
                n for n, e in zip(t.counts, t.axis.edges, strict=False) if not t.axis.keeps(e)
            ]
            assert sum(beyond) == dropped
            shown = {
                (s.name, gone): [e.id for e in (s.dropped if gone else s.kept)]
                for s in t.sides
                for gone in (False, True)
            }
            assert shown == sides


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(shards=corpora)
def test_a_rule_drops_what_decide_says_it_drops(tmp_path_factory, shards):
    shards = list(numbered(shards))
    names = build_legend(choose_rules(CONFIG))
    words = [int(word) for rows in shards for word in bits_of(rows)]
    for run in (
        decided(tmp_path_factory.mktemp("a"), shards),
        annotated(tmp_path_factory.mktemp("b"), shards),
    ):
        found = look(run)
        assert found.dropped == sum(map(bool, words))
        for rule in found.rules:
            place = names.index(rule.rule.name)
            assert rule.holds == sum(word >> place & 1 for word in words)
            assert rule.first == sum(bool(word) and (word & -word) == 1 << place for word in words)
            assert rule.alone == sum(word == 1 << place for word in words)


def test_the_parts_of_an_example_are_those_of_its_document(tmp_path):
    row = document(
        1,
        words=49,
        text="Ask für me@there.org now. " + "x" * 400,
        title="Page of me@there.org",
        lang="de",
        personal=[{"start": 9, "end": 21, "type": "email"}],
    )
    assert row["text"].encode()[9:21] == b"me@there.org"
    [side] = rule_of(look(annotated(tmp_path, [[row]])), "too_few_words").thresholds[0].sides
    [example] = side.dropped
    assert (example.value, example.id, example.source, example.lang) == (
        49.0,
        row["id"],
        "somewhere",
        "de",
    )
    assert example.text.startswith("Ask für [email] now. xxx") and len(example.text) == SHOWN
    assert "there.org" not in example.title and example.title.startswith("Page of [")
    assert side.kept == () and example.others == ()


def test_the_other_reasons_of_an_example_are_named_and_its_own_is_not(tmp_path):
    shards = [[document(1, words=49, dup_line_ratio=0.5), document(2, words=50)]]
    run = decided(tmp_path, shards, more={f"{2:032x}": ["near_duplicate"]})
    rule = rule_of(look(run), "too_few_words")
    [side] = rule.thresholds[0].sides
    assert [one.others for one in side.dropped] == [("repeated_lines",)]
    assert [one.others for one in side.kept] == [("near_duplicate",)]
    assert (rule.holds, rule.first, rule.alone) == (1, 1, 0)


@pytest.mark.parametrize("reason", ["takedown", "opt_out", "licence"])
def test_documents_that_are_not_ours_to_show_are_counted_only(tmp_path, reason):
    shards = [[document(1, words=49), document(2, words=48)]]
    rule = rule_of(look(decided(tmp_path, shards, more={f"{1:032x}": [reason]})), "too_few_words")
    [side] = rule.thresholds[0].sides
    assert [one.id for one in side.dropped] == [f"{2:032x}"]
    assert (rule.holds, rule.first, rule.alone) == (2, 1, 1)
    assert sum(rule.thresholds[0].counts) == 2


def test_before_decide_nothing_is_shown_of_a_source_that_refuses(tmp_path):
    shards = [[document(1, words=49, opt_out=["noai"]), document(2, words=48, opt_out=None)]]
    [side] = rule_of(look(annotated(tmp_path, shards)), "too_few_words").thresholds[0].sides
    assert [one.id for one in side.dropped] == [f"{2:032x}"]


def test_equal_runs_give_equal_facts_and_a_seed_chooses_among_equals(tmp_path):
    run = annotated(tmp_path, [[document(number, words=49) for number in range(60)]])
    one, again, other = look(run), look(run), look(run, seed=1)
    assert one == again
    ids = [
        {e.id for e in rule_of(found, "too_few_words").thresholds[0].sides[0].dropped}
        for found in (one, again, other)
    ]
    assert len(ids[0]) == MOST and ids[0] == ids[1] != ids[2]


def test_only_the_rule_kind_and_language_asked_for_are_told(tmp_path):
    shards = [
        [
            document(1, words=9),
            document(2, words=9, lang="zh"),
            document(3, words=9, kind="web", lang="zh"),
        ]
    ]
    for run in (annotated(tmp_path / "a", shards), decided(tmp_path / "b", shards)):
        found = look(run, rule="too_few_words", lang="zh")
        assert (found.documents, found.dropped, len(found.rules)) == (2, 2, 1)
        assert found.rules[0].thresholds[0].languages == {"zh": 2}
        assert look(run, rule="too_few_words", lang="zh", kind="wiki").documents == 1
        assert look(run, rule="too_few_words", kind="web").documents == 1


def test_a_rule_without_documents_has_no_threshold(tmp_path):
    rule = rule_of(look(annotated(tmp_path, [[document(1)]])), "too_short")
    assert (rule.judged, rule.holds, rule.thresholds, rule.kinds) == (0, 0, (), ("social",))


@pytest.mark.parametrize("shards", [[], [[]]])
def test_an_empty_run_has_rules_and_no_documents(tmp_path, shards):
    for run in (annotated(tmp_path / "a", shards), decided(tmp_path / "b", shards)):
        found = look(run)
        assert (found.documents, found.dropped) == (0, 0)
        assert len(found.rules) == len(choose_rules(CONFIG)) and {
            rule.judged for rule in found.rules
        } == {0}


def test_a_document_without_a_number_is_judged_but_in_no_bin(tmp_path):
    fields = [
        f.with_nullable(True) if f.name in ("words", "top_2gram_ratio") else f for f in SCHEMA
    ]
    shards = [
        [document(1, words=None), document(2, words=10), document(3, top_2gram_ratio=math.nan)]
    ]
    found = look(annotated(tmp_path, shards, pa.schema(fields)))
    [words] = rule_of(found, "too_few_words").thresholds
    assert (words.documents, words.unmeasured, words.holds, sum(words.counts)) == (3, 1, 1, 2)
    [top] = rule_of(found, "top_2gram").thresholds
    assert (top.documents, top.unmeasured, top.holds, sum(top.counts)) == (3, 1, 0, 2)


def test_a_signal_that_is_nowhere_a_number_has_no_axis(tmp_path):
    fields = [f.with_nullable(True) if f.name == "words" else f for f in SCHEMA]
    found = look(
        annotated(tmp_path, [[document(1, words=None)]], pa.schema(fields)), rule="too_few_words"
    )
    [threshold] = found.rules[0].thresholds
    assert (threshold.axis, threshold.counts, threshold.unmeasured) == (None, (), 1)


def test_the_thresholds_of_the_run_are_told_not_those_of_today(tmp_path):
    config = DecideConfig(presets={"wiki": ("gopher",)}, thresholds={"too_few_words": Bound(min=7)})
    found = look(
        decided(tmp_path, [[document(1, words=8), document(2, words=6, lang="zh")]], config)
    )
    assert {rule.rule.preset for rule in found.rules} == {"gopher"}
    rule = rule_of(found, "too_few_words")
    assert [(t.low, t.holds) for t in rule.thresholds] == [(7.0, 1)]
    assert rule.meaning.startswith("words") and rule.origin == "Rae et al. 2021"


@pytest.mark.parametrize("rule", load_preset_rules(), ids=lambda rule: rule.name)
def test_a_rule_is_read_back_from_its_record(rule):
    assert read_rule(rule.record()) == dataclasses.replace(rule, by_language=dict(rule.by_language))


def test_an_unknown_rule_is_refused_with_the_nearest_name(tmp_path):
    run = annotated(tmp_path, [[document(1)]])
    with pytest.raises(ConfigError, match="did you mean `too_few_words`"):
        look(run, rule="too_few_wrds")
    with pytest.raises(ConfigError, match=r"choose from any_curly_brace, bullets"):
        look(run, rule="qqqq")


@pytest.mark.parametrize("name", FIXED_REASONS)
def test_a_reason_that_is_no_rule_is_sent_to_the_report(tmp_path, name):
    with pytest.raises(ConfigError, match="gristmill report"):
        look(annotated(tmp_path, [[document(1)]]), rule=name)


@pytest.mark.parametrize(
    "choice", [{"kind": "books"}, {"lang": "xx"}, {"kind": "wiki", "lang": "zh"}]
)
def test_a_kind_or_language_that_no_document_has_is_refused_with_those_there_are(tmp_path, choice):
    run = annotated(tmp_path, [[document(1), document(2, kind="web", lang="zh")]])
    with pytest.raises(ConfigError, match="kinds: web, wiki; languages: en, zh"):
        look(run, **choice)


def test_a_run_of_another_step_is_refused(tmp_path):
    with pytest.raises(RunError, match="`decide` or `annotate` is needed"):
        open_source(annotated(tmp_path, [], step="crawl"))


def test_documents_without_a_column_of_a_rule_are_refused(tmp_path):
    schema = pa.schema([field for field in SCHEMA if field.name not in ("words", "sentences")])
    with pytest.raises(RunError, match="sentences, words"):
        look(annotated(tmp_path, [[document(1)]], schema))


def test_a_decide_run_whose_documents_are_gone_is_refused(tmp_path):
    run = decided(tmp_path / "a", [[document(1)]])
    moved = tmp_path / "b" / run.id
    moved.parent.mkdir()
    run.path.rename(moved)
    with pytest.raises(RunError, match="not beside it"):
        open_source(open_run(moved))


def test_reasons_that_the_rules_do_not_give_are_refused(tmp_path):
    run = decided(tmp_path, [[document(1), document(2)]], more={f"{2:032x}": ["bullets"]})
    with pytest.raises(RunError, match=r"(?s)recorded reasons.*row +1"):
        look(run)
    assert look(run, rule="too_few_words").documents == 2


def test_an_annotate_run_is_shown_with_the_rules_of_a_configuration(tmp_path):
    run = annotated(tmp_path, [[document(number, words=number) for number in (9, 29, 30, 49, 50)]])
    default = collect_rules(open_source(run), ExploreChoice(rule="too_few_words"))
    assert (default.dropped, default.configured) == (4, False)
    config = DecideConfig(
        thresholds={"too_few_words": Bound(min=30)},
        rules={"thin": CustomRule(signal="words", max=29)},
    )
    found = collect_rules(open_source(run, config), ExploreChoice(rule="too_few_words"))
    assert (found.dropped, found.configured, found.decided) == (2, True, False)
    assert [(t.low, t.holds) for t in rule_of(found, "too_few_words").thresholds] == [(30.0, 2)]
    assert (
        rule_of(collect_rules(open_source(run, config), ExploreChoice(rule="thin")), "thin").holds
        == 3
    )


def test_a_configured_look_is_what_decide_then_finds(tmp_path):
    shards = [
        [document(10 * shard + place, words=10 * place) for place in range(9)] for shard in range(2)
    ]
    config = DecideConfig(thresholds={"too_few_words": Bound(min=33)})
    before = collect_rules(open_source(annotated(tmp_path / "a", shards), config), ExploreChoice())
    after = look(decided(tmp_path / "b", shards, config))
    assert before.dropped == after.dropped == 8
    for one, other in zip(before.rules, after.rules, strict=True):
        figures = [(rule.judged, rule.holds, rule.first, rule.alone) for rule in (one, other)]
        assert figures[0] == figures[1]
        assert [(t.counts, t.sides) for t in one.thresholds] == [
            (t.counts, t.sides) for t in other.thresholds
        ]


def test_a_configuration_of_a_signal_that_documents_lack_is_refused_with_the_nearest(tmp_path):
    run = annotated(tmp_path, [[document(1)]])
    config = DecideConfig(rules={"many": CustomRule(signal="wrods", max=3)})
    with pytest.raises(ConfigError, match=r"(?s)decide.rules.many.*choose from words"):
        open_source(run, config)


def test_a_decide_run_keeps_its_rules_and_names_the_run_to_try_others_on(tmp_path):
    run = decided(tmp_path, [[document(1)]])
    with pytest.raises(ConfigError, match=r"annotate-[0-9a-f]{12} --config"):
        open_source(run, DecideConfig())


def test_the_command_takes_a_configuration_and_changes_to_it(tmp_path, capsys):
    run = annotated(tmp_path, [[document(number, words=number) for number in (9, 29, 30, 49)]])
    (tmp_path / "prepare.toml").write_text("[decide.thresholds.too_few_words]\nmin = 10\n")
    page = ["--out", str(tmp_path / "x.html"), "--rule", "too_few_words"]
    file = ["--config", str(tmp_path / "prepare.toml")]
    for options, dropped in (
        ([], 4),
        (file, 1),
        ([*file, "--set", "decide.thresholds.too_few_words.min=30"], 2),
    ):
        assert cli.run(["explore", str(run.path), *page, *options]) == 0
        assert f"it would drop {dropped}" in capsys.readouterr().err
    assert cli.run(["explore", str(run.path), *page, "--set", "decide.threshold.x=1"]) == 2
    assert "thresholds" in capsys.readouterr().err


def test_only_the_columns_asked_for_are_read(tmp_path):
    source = open_source(decided(tmp_path, [[document(1), document(2)]]))
    [batch] = iter_batches(source, ["words"])
    assert batch.table.column_names == ["words", "kind", "lang"]
    assert batch.rows.tolist() == [0, 1]


def test_the_command_writes_the_page_and_ends_with_its_path(tmp_path, capsys):
    run = decided(tmp_path, [[document(1, words=9, title="<b>bold</b>"), document(2)]])
    out = tmp_path / "pages" / "rules.html"
    assert cli.run(["explore", str(run.path), "--out", str(out), "--rule", "too_few_words"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    assert "1 rule over 2 documents: it drops 1" in said.err
    assert "&lt;b&gt;bold&lt;/b&gt;" in out.read_text(encoding="utf-8")


def test_the_command_writes_the_same_bytes_each_time(tmp_path):
    run = decided(tmp_path, [[document(number, words=number) for number in range(80)]])
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for page in pages:
        assert cli.run(["explore", str(run.path), "--out", str(page)]) == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


@pytest.mark.parametrize(
    "options", [["--rule", "too_few_wrds"], ["--lang", "xx"], ["--kind", "boks"], ["--seed", "-1"]]
)
def test_a_choice_that_cannot_be_met_is_the_users_error_and_writes_nothing(tmp_path, options):
    run = annotated(tmp_path, [[document(1)]])
    page = tmp_path / "x.html"
    assert cli.run(["explore", str(run.path), "--out", str(page), *options]) == 2
    assert not page.exists()


def test_the_page_cannot_be_a_folder_and_the_run_must_exist(tmp_path, capsys):
    run = annotated(tmp_path, [[document(1)]])
    assert cli.run(["explore", str(run.path), "--out", str(tmp_path)]) == 2
    assert "must be a file" in capsys.readouterr().err
    assert cli.run(["explore", str(tmp_path / "nothing"), "--out", str(tmp_path / "x.html")]) == 2
