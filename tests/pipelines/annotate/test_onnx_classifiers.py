"""Columns of ONNX classifiers: torch's own numbers, whatever batch a document comes in, and errors with a way out."""

import json
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from gristmill import cli
from gristmill.config import load
from gristmill.errors import ConfigError, InputError, MissingExtra, UserError
from gristmill.runs.finished import find_latest
from pipelines.annotate.config import AnnotateConfig, ClassifierConfig
from pipelines.annotate.signals import onnx_model
from pipelines.annotate.signals.chosen import load_custom_columns, refuse_edited, unload_models
from pipelines.annotate.signals.onnx_classifier import compute_score

WORDS = "the old mill stands by river and miller grinds grain of village with care every day 磨 坊 水 车 在 河 边".split()
TEXTS = (
    "The old mill stands by the river.",
    "",
    "磨坊在河边，水车 every day",
    "unknown words only here",
    "the miller grinds " * 40,
    "care",
)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LABELS = ("low", "fair", "high")
POSITIONS = 48


def write_tokenizer(path, words=WORDS, *, special=True):
    """A tokenizer of words and Chinese characters; with `[CLS]` and `[SEP]` around a text where `special`."""
    vocab = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer()
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    if special:
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    made.enable_padding(length=64)  # a file may ask for both: what a document needs is ours to say
    made.enable_truncation(4)
    made.save(str(path))


def torch_model(outputs, seed=0):
    """A BERT of two layers whose answers lie apart."""
    import transformers

    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(WORDS) + 4,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        num_labels=outputs,
        initializer_range=0.3,
    )
    return transformers.BertForSequenceClassification(config).eval()


def export(model, path, *, axes=True):
    """The model as PyTorch's exporter writes it."""
    ids = torch.ones(1, 9, dtype=torch.long)
    dynamic = {name: {0: "documents", 1: "tokens"} for name in INPUTS} if axes else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(path),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes=dynamic,
            dynamo=False,
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of a model with three labels and one with a single output, and what torch says of a text by each."""
    root, models = tmp_path_factory.mktemp("onnx"), {}
    for name, outputs in (("three", 3), ("one", 1)):
        (root / name).mkdir()
        models[name] = torch_model(outputs, seed=outputs)
        export(models[name], root / name / "model.onnx")
        write_tokenizer(root / name / "tokenizer.json")
    about = {"id2label": {str(n): label for n, label in enumerate(LABELS)}}
    (root / "three" / "config.json").write_text(json.dumps(about))
    return root, models


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the model with three labels, to be changed."""
    for path in (made[0] / "three").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def columns(**classifiers):
    return load_custom_columns(AnnotateConfig.model_validate({"classifiers": classifiers}))


def column(place, **settings):
    (found,) = columns(
        edu={"model": str(place / "model.onnx"), "max_tokens": POSITIONS, **settings}
    )
    return found


def batch(*texts):
    return pa.record_batch(
        {"id": ["0" * 32] * len(texts), "text": list(texts), "lang": ["en"] * len(texts)}
    )


def answers(found, *texts):
    return found.column(batch(*texts)).to_pylist()


def torchs_logits(model, text, tokens=POSITIONS):
    """One text by torch: cut into lower-case words and marks, `[CLS]` and `[SEP]` around the first of them."""
    spaced = "".join(
        f" {char} " if not char.isascii() or char in ".," else char for char in text.lower()
    )
    known = {word: place + 4 for place, word in enumerate(WORDS)}
    ids = torch.tensor([[2, *[known.get(word, 1) for word in spaced.split()][: tokens - 2], 3]])
    with torch.no_grad():
        return model(ids, torch.ones_like(ids), torch.zeros_like(ids)).logits[0].double()


def test_every_label_has_the_probability_that_torch_gives(made):
    root, models = made
    expected = torch.stack(
        [torchs_logits(models["three"], text).softmax(0) for text in TEXTS]
    ).numpy()
    assert np.ptp(expected, axis=0).min() > 0.05  # the texts are told apart, so a mix-up would show
    for place, label in enumerate(LABELS):
        np.testing.assert_allclose(
            answers(column(root / "three", label=label), *TEXTS), expected[:, place], atol=2e-6
        )
        assert answers(column(root / "three", label=place), *TEXTS) == answers(
            column(root / "three", label=label), *TEXTS
        )


def test_a_score_is_what_the_model_gives_and_a_single_output_needs_no_label(made):
    root, models = made
    one = [float(torchs_logits(models["one"], text)) for text in TEXTS]
    np.testing.assert_allclose(
        answers(column(root / "one", output="score"), *TEXTS), one, atol=2e-5
    )
    np.testing.assert_allclose(
        answers(column(root / "one"), *TEXTS), torch.tensor(one).sigmoid(), atol=2e-6
    )
    three = [float(torchs_logits(models["three"], text)[2]) for text in TEXTS]
    np.testing.assert_allclose(
        answers(column(root / "three", label="high", output="score"), *TEXTS), three, atol=2e-5
    )


def test_labels_that_exclude_not_each_other_have_a_sigmoid_each(made, folder):
    expected = [float(torchs_logits(made[1]["three"], text)[1].sigmoid()) for text in TEXTS]
    np.testing.assert_allclose(
        answers(column(folder, label="fair", output="sigmoid"), *TEXTS), expected, atol=2e-6
    )
    about = json.loads((folder / "config.json").read_text()) | {
        "problem_type": "multi_label_classification"
    }
    (folder / "config.json").write_text(json.dumps(about))
    np.testing.assert_allclose(answers(column(folder, label="fair"), *TEXTS), expected, atol=2e-6)


def test_a_regression_is_no_probability(folder):
    about = json.loads((folder / "config.json").read_text()) | {"problem_type": "regression"}
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(
        ConfigError, match=r"gives a score(.|\n)*edu\.output(.|\n)*output = \"score\""
    ):
        column(folder, label="fair").open()
    column(folder, label="fair", output="score").open()


@pytest.mark.parametrize(
    ("row", "output", "expected"),
    [
        ([1000.0, 0.0], "probability", 1.0),
        ([0.0, 1000.0], "probability", 0.0),
        ([-1000.0], "sigmoid", 0.0),
        ([1000.0], "sigmoid", 1.0),
        ([0.0, 0.0], "probability", 0.5),
        ([-7.25], "score", -7.25),
    ],
)
def test_far_logits_overflow_nothing(row, output, expected):
    assert compute_score(np.array(row), 0, output) == expected


def test_only_the_first_tokens_and_characters_are_looked_at(made):
    root, models = made
    text = "the old mill stands by the river and the miller grinds"
    expected = float(torchs_logits(models["three"], text, tokens=6)[0])
    assert answers(column(root / "three", label=0, output="score", max_tokens=6), text) == [
        pytest.approx(expected, abs=2e-5)
    ]
    short = column(root / "three", label=0, max_chars=7)
    assert answers(short, text, "磨坊在河边水车 mill") == answers(short, text[:7], "磨坊在河边水车")


def test_a_column_says_what_it_is(made):
    meant = [
        column(made[0] / "three", label="low", languages=["en"]).field.metadata[b"is"],
        column(made[0] / "one", output="score", max_tokens=20).field.metadata[b"is"],
    ]
    assert meant == [
        b"probability of `low` by model.onnx, 0 to 1, of the first 48 tokens; 0 in other languages than en",
        b"score by model.onnx, of the first 20 tokens",
    ]


@pytest.mark.parametrize("quantized", [False, True])
def test_a_documents_number_is_the_same_byte_for_byte_whatever_batch_it_comes_in(
    folder, quantized, prose
):
    if quantized:  # here a neighbour's activations move the scale of one's own
        plain = folder / "plain.onnx"
        (folder / "model.onnx").rename(plain)
        quantize_dynamic(str(plain), str(folder / "model.onnx"))
    texts = [
        *TEXTS,
        *(" ".join([word, *WORDS[: n % 17]]) for n, word in enumerate(WORDS * 3)),
        prose(1),
        prose(2),
    ]
    found = column(folder, label="high")
    alone = [answers(found, text)[0] for text in texts]
    together = answers(found, *texts)
    assert np.array(alone, np.float32).tobytes() == np.array(together, np.float32).tobytes()
    assert answers(found, *reversed(texts)) == together[::-1]
    halves = batch(*texts).slice(3, 40)
    assert found.column(halves).to_pylist() == together[3:43]


def test_a_quantized_model_would_give_other_numbers_in_a_batch(folder):
    """Why documents are not put together."""
    quantize_dynamic(str(folder / "model.onnx"), str(folder / "q.onnx"))
    session = onnxruntime.InferenceSession(str(folder / "q.onnx"))
    ids = np.random.default_rng(0).integers(4, len(WORDS) + 4, (8, 12))
    feeds = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    (together,) = session.run(None, feeds)
    (alone,) = session.run(None, {name: value[:1] for name, value in feeds.items()})
    assert np.abs(together[0] - alone[0]).max() > 1e-4


def test_columns_of_several_labels_run_the_model_once(made):
    place = str(made[0] / "three" / "model.onnx")
    low, high = columns(
        low={"model": place, "label": 0, "max_tokens": 40},
        high={"model": place, "label": 2, "max_tokens": 40},
    )
    low.open(), high.open()
    model = onnx_model.open_model(low.settings)
    assert model is onnx_model.open_model(high.settings)
    text = pa.array(TEXTS)
    assert model.rows(text) is model.rows(pa.array(TEXTS)) and model.rows(text) is not model.rows(
        text[1:]
    )
    unload_models()
    assert model is not onnx_model.open_model(low.settings)


def test_threads_of_one_model_keep_their_own_last_batch(made):
    place = str(made[0] / "three" / "model.onnx")
    (low,) = columns(low={"model": place, "label": 0, "max_tokens": 40})
    low.open()
    model, both = onnx_model.open_model(low.settings), Barrier(2)

    def asked_twice(texts):
        column = pa.array(texts)
        first = model.rows(column)
        both.wait()  # the other thread's batch has been the last since
        return first, model.rows(column)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(asked_twice, [TEXTS[:2], TEXTS[2:4]]))
    assert all(first is again for first, again in found)
    for (first, _), texts in zip(found, (TEXTS[:2], TEXTS[2:4]), strict=True):
        assert [row.tolist() for row in first] == [
            row.tolist() for row in model.rows(pa.array(texts))
        ]


@pytest.mark.parametrize("size", [1, 127, 128, 200, 20_000])
def test_files_of_weights_are_found_whatever_the_length_of_their_names(size, tmp_path):
    name = "w" * size
    entry = onnx.StringStringEntryProto(key="location", value=name).SerializeToString()
    (tmp_path / "model.onnx").write_bytes(b"\x0a" + entry + b"\x0a")
    assert [
        Path(path).name for path in onnx_model._list_external_files(str(tmp_path / "model.onnx"))
    ] == [name]


def test_a_text_without_a_token_has_0(folder):
    write_tokenizer(folder / "tokenizer.json", special=False)
    found = column(folder, label="high")
    assert answers(found, "", "\u200b", "mill") == [0, 0, answers(found, "mill")[0]] and answers(
        found, "mill"
    ) > [0]


def test_a_label_that_is_not_there_names_those_that_are(folder):
    with pytest.raises(ConfigError, match="choose from high, low, fair") as caught:
        column(folder, label="hig").open()
    assert (
        caught.value.where["key"] == "annotate.classifiers.edu.label"
        and caught.value.where["given"] == "hig"
    )
    for label in (3, -1, None):
        with pytest.raises(
            ConfigError, match="choose from low, fair, high, or give a place from 0 to 2"
        ):
            column(folder, label=label).open()
    (folder / "config.json").unlink()
    with pytest.raises(
        ConfigError, match=r"no config\.json that names labels, or give a place from 0 to 2"
    ):
        column(folder, label="high").open()


def test_the_tokenizer_and_config_may_lie_elsewhere(made, folder):
    (folder / "elsewhere").mkdir()
    for name in ("tokenizer.json", "config.json"):
        (folder / name).rename(folder / "elsewhere" / name)
    found = column(folder, label="high", tokenizer=str(folder / "elsewhere" / "tokenizer.json"))
    assert answers(found, *TEXTS) == answers(column(made[0] / "three", label="high"), *TEXTS)
    assert [path.rpartition("/")[2] for path, _ in found.files] == [
        "model.onnx",
        "tokenizer.json",
        "config.json",
    ]


@pytest.mark.parametrize("cut", [0, 4, 3000, -1])
def test_a_broken_model_is_refused_by_name(folder, cut):
    raw = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(raw[:cut])
    with pytest.raises(InputError, match=r"no ONNX model(.|\n)*model\.onnx"):
        column(folder, label="high").open()


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff", b"[1, 2]"])
def test_a_broken_tokenizer_is_refused_by_name(folder, raw):
    (folder / "tokenizer.json").write_bytes(raw)
    with pytest.raises(InputError, match=r"no tokenizer(.|\n)*tokenizer\.json"):
        column(folder, label="high").open()


@pytest.mark.parametrize("raw", [b"{", b"3", b"\xff"])
def test_a_broken_config_is_refused_by_name(folder, raw):
    (folder / "config.json").write_bytes(raw)
    with pytest.raises(InputError, match=r"cannot be read(.|\n)*config\.json"):
        column(folder, label="high").open()


@pytest.mark.parametrize("named", [{"0": "a"}, {"0": "a", "1": "b", "3": "c"}, ["a", "b", "c"]])
def test_a_config_of_another_model_is_refused(folder, named):
    (folder / "config.json").write_text(json.dumps({"id2label": named}))
    with pytest.raises(
        InputError, match=r"other labels than it has outputs(.|\n)*outputs of the model +3"
    ):
        column(folder, label=0).open()


def test_a_tokenizer_that_is_not_there_is_named_with_its_key(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="No such file") as caught:
        column(folder, label="high")
    assert caught.value.where["key"] == "annotate.classifiers.edu"
    assert caught.value.where["file"] == str(folder / "tokenizer.json")


def test_what_does_not_fit_together_is_refused_before_work(folder):
    with pytest.raises(InputError, match=r"cannot take(.|\n)*tokens +49(.|\n)*no more max_tokens"):
        column(folder, label="high", max_tokens=POSITIONS + 1).open()
    write_tokenizer(folder / "tokenizer.json", [*WORDS, "more", "words"])
    with pytest.raises(
        InputError, match=rf"cannot take(.|\n)*last token +{len(WORDS) + 5}(.|\n)*belongs to it"
    ):
        column(folder, label="high").open()


def test_a_model_of_one_length_only_is_refused(made, folder):
    export(made[1]["three"], folder / "model.onnx", axes=False)
    with pytest.raises(InputError, match=r"cannot take(.|\n)*dynamic axes"):
        column(folder, label="high").open()


def graph(nodes, inputs, shape, *weights, name="logits"):
    """A model of a few nodes over int64 inputs (1, tokens)."""
    given = [
        helper.make_tensor_value_info(each, TensorProto.INT64, ["documents", "tokens"])
        for each in inputs
    ]
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    made = helper.make_graph(nodes, "g", given, [out], list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def mean_of_vectors(vectors, inputs=("input_ids",)):
    """A model whose output (1, columns) is the mean of its tokens' vectors."""
    nodes = [
        helper.make_node("Gather", ["vectors", inputs[0]], ["each"]),
        helper.make_node("ReduceMean", ["each"], ["logits"], axes=[1], keepdims=0),
    ]
    return graph(
        nodes,
        inputs,
        ["documents", None],
        numpy_helper.from_array(vectors.astype(np.float32), "vectors"),
    )


def test_a_model_may_take_tokens_alone(folder):
    vectors = np.arange(3.0 * (len(WORDS) + 4)).reshape(-1, 3)
    onnx.save_model(mean_of_vectors(vectors), folder / "model.onnx")
    ids = [2, 5, 6, 3]
    assert answers(column(folder, label="high", output="score"), "old mill") == [
        vectors[ids, 2].mean()
    ]


def test_a_model_that_wants_what_a_text_does_not_give_is_refused(folder):
    onnx.save_model(mean_of_vectors(np.ones((99, 3)), ("pixel_values",)), folder / "model.onnx")
    with pytest.raises(InputError, match=r"does not give(.|\n)*pixel_values(.|\n)*attention_mask"):
        column(folder, label="high").open()


def test_a_model_that_labels_each_token_is_refused(folder):
    node = helper.make_node("Gather", ["vectors", "input_ids"], ["logits"])
    weights = numpy_helper.from_array(np.ones((99, 3), np.float32), "vectors")
    onnx.save_model(
        graph([node], ["input_ids"], ["documents", "tokens", 3], weights), folder / "model.onnx"
    )
    with pytest.raises(InputError, match=r"each label of a text(.|\n)*\(1, 1, 3\)"):
        column(folder, label="high").open()


def test_a_model_that_gives_no_finite_number_is_refused_with_the_document(folder):
    onnx.save_model(mean_of_vectors(np.full((99, 3), np.nan)), folder / "model.onnx")
    with pytest.raises(UserError, match=r"no finite number(.|\n)*model\.onnx(.|\n)*0{32}"):
        answers(column(folder, label="high", output="score"), "the mill")


def test_a_model_that_onnxruntime_cannot_even_complain_of_in_text_is_refused_and_stdout_stays_clean(
    folder, capfd
):
    raw = mean_of_vectors(np.ones((99, 3))).SerializeToString()
    assert b"\x22\x06Gather" in raw
    (folder / "model.onnx").write_bytes(raw.replace(b"\x22\x06Gather", b"\x22\x06Gath\xff\xfe"))
    with pytest.raises(InputError, match="no ONNX model"):
        column(folder, label="high").open()
    assert (
        capfd.readouterr().out == ""
    )  # the last line of stdout is a run's path, for the next command


def test_weights_in_a_file_of_their_own_are_part_of_the_model(folder):
    vectors = np.arange(300.0).reshape(-1, 3)
    onnx.save_model(
        mean_of_vectors(vectors),
        folder / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    found = column(folder, label="high", output="score")
    assert [path.rpartition("/")[2] for path, _ in found.files][:2] == [
        "model.onnx",
        "model.onnx.data",
    ]
    assert answers(found, "old mill") == [vectors[[2, 5, 6, 3], 2].mean()]
    started = {found.name: found.files}
    (folder / "model.onnx.data").write_bytes((vectors[:, ::-1] + 1).astype("<f4").tobytes())
    with pytest.raises(UserError, match=r"edited(.|\n)*model\.onnx\.data"):
        refuse_edited([column(folder, label="high", output="score")], started)
    (folder / "model.onnx.data").unlink()
    with pytest.raises(InputError, match=r"cannot be read(.|\n)*model\.onnx\.data"):
        column(folder, label="high", output="score")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{model='m.bin',label=1}", "a fastText model needs `label`"),
        ("{model='m.bin',label='a',max_tokens=9}", "`max_tokens` is for ONNX models"),
        ("{model='m.ftz',label='a',tokenizer='t'}", "`tokenizer` is for ONNX models"),
        ("{model='m.onnx',output='logit'}", "'probability', 'sigmoid' or 'score'"),
        ("{model='m.safetensors'}", r"\.onnx"),
        ("{model='m.onnx',tokeniser='t'}", "did you mean `tokenizer`"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        load(AnnotateConfig, None, [f"classifiers.edu={settings}"])


def test_a_missing_extra_is_named_with_what_needs_it(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    unload_models()
    with pytest.raises(MissingExtra, match=r"classifiers\.edu(.|\n)*gristmill\[onnx\]"):
        column(made[0] / "three", label="high").open()


def annotated(*options):
    assert cli.run(["annotate", "--in", "mill.jsonl", "--out", "runs", *options]) == 0
    return find_latest("runs", "annotate")


def test_a_classifier_goes_through_annotate_and_decide_and_its_files_name_the_run(
    made, folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder)
    texts = [
        "The old mill stands by the river, every day of the year.",
        "The miller grinds grain with care, of the village.",
    ]
    rows = [
        {"id": str(n), "text": t, "source": "s", "type": "other", "license": "CC0-1.0"}
        for n, t in enumerate(texts)
    ]
    (folder / "mill.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = [float(torchs_logits(made[1]["three"], text).softmax(0)[2]) for text in texts]
    between = sum(expected) / 2
    (folder / "c.toml").write_text(
        '[annotate.classifiers.edu]\nmodel = "model.onnx"\nlabel = "high"\nmax_tokens = 48\n[decide.presets]\nother = []\n'
        f'[decide.rules.low_edu]\nsignal = "edu"\nmin = {between}\n'
    )
    run = annotated("--config", "c.toml")
    np.testing.assert_allclose(
        pq.read_table(run.files("documents/")[0])["edu"].to_pylist(), expected, atol=2e-6
    )
    names = [(source["name"], source["identity"]) for source in run.manifest["inputs"]]
    assert ("library onnxruntime", onnxruntime.__version__) in names and [
        name for name, _ in names
    ].count("signal edu") == 3
    assert cli.run(["decide", "--in", str(run.path), "--config", "c.toml", "--out", "runs"]) == 0
    decided = pq.read_table(find_latest("runs", "decide").files("decisions/")[0])[
        "reasons"
    ].to_pylist()
    assert [bool(reasons) for reasons in decided] == [number < between for number in expected]
    assert (
        cli.run(
            [
                "annotate",
                "--in",
                "mill.jsonl",
                "--config",
                "c.toml",
                "--out",
                "two",
                "--workers",
                "2",
            ]
        )
        == 0
    )
    assert (
        find_latest("two", "annotate").files("documents/")[0].read_bytes()
        == run.files("documents/")[0].read_bytes()
    )
    write_tokenizer(folder / "tokenizer.json", WORDS[::-1])
    assert annotated("--config", "c.toml").id != run.id


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{model='model.onnx',label='none',max_tokens=48}", "no such label"),
        ("{model='model.onnx',label=0}", "cannot take"),
        ("{model='none.onnx',label=0}", "No such file"),
        ("{model='model.onnx',label=0,tokenizer='t.json'}", "t.json"),
    ],
)
def test_a_command_that_cannot_run_ends_with_2_before_any_run_begins(
    folder, monkeypatch, capsys, settings, message
):
    monkeypatch.chdir(folder)
    (folder / "mill.jsonl").write_text('{"text": "the old mill"}\n')
    setting = ["--set", f"annotate.classifiers.edu={settings}"]
    assert cli.run(["annotate", "--in", "mill.jsonl", "--out", "runs", *setting]) == 2
    assert message in capsys.readouterr().err and not (folder / "runs").exists()


def test_settings_are_plain_values_that_name_the_kind_of_model():
    assert (
        ClassifierConfig(model="a.onnx").is_onnx
        and not ClassifierConfig(model="a.bin", label="x").is_onnx
    )
