"""The exported tokenizer: sentencepiece's ids on any text, masks that stand for pieces, stock pipelines that just work."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from training.config import ModelConfig
from training.data import Special
from training.export import fill_card, write_export
from training.export_tokenizer import PROBES
from training.models.bert import Bert
from training.models.bert_form import BertExporter
from training.models.decoder import Decoder
from training.models.llama_form import LlamaExporter

EXPORTERS = {Decoder: LlamaExporter(), Bert: BertExporter()}

SHAPE = ModelConfig(layers=2, width=32, heads=2, feed_forward=64)
KINDS = pytest.mark.parametrize("kind", [Decoder, Bert])
WORDS = [
    *"Mara painted two geese by the old mill".split(),
    "邻居",
    "老船夫",
    "修好了",
    "那座旧钟",
    "在河边",
    "。",
    ".",
]


@contextmanager
def everything_told() -> Iterator[list[str]]:
    """What transformers says, in its log and as Python warnings, while the block lasts."""
    from transformers.utils import logging as theirs

    told: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = theirs.get_logger()
    logger.addHandler(listener)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield told
        told += [str(one.message) for one in warned]
    finally:
        logger.removeHandler(listener)


@pytest.fixture(scope="module")
def exports(tmp_path_factory, corpus) -> dict[type, Path]:
    found = {}
    for kind in (Decoder, Bert):
        found[kind] = tmp_path_factory.mktemp(kind.__name__)
        model = kind(SHAPE, vocabulary=512, length=40, seed=4).eval()
        write_export(found[kind], model, corpus.tokenizer, EXPORTERS[kind])
    return found


@pytest.fixture(scope="module")
def theirs(exports) -> dict[type, object]:
    from transformers import AutoTokenizer

    return {kind: AutoTokenizer.from_pretrained(folder) for kind, folder in exports.items()}


def text_ids(tokenizer, text: str, **options) -> list[int]:
    return tokenizer(text, add_special_tokens=False, **options)["input_ids"]


ANY_TEXT = st.text(
    st.one_of(st.sampled_from(" ▁\n\t[]<s>MASK新é\u3000"), st.characters(codec="utf-8")),
    max_size=40,
)


@KINDS
@settings(max_examples=150, deadline=None)
@given(text=st.one_of(st.sampled_from([*PROBES, " [MASK] [MASK]", "▁▁", "a</s>b"]), ANY_TEXT))
def test_any_text_from_the_web_has_sentencepieces_ids(theirs, corpus, kind, text):
    assert text_ids(
        theirs[kind], text, split_special_tokens=True
    ) == corpus.tokenizer.pieces.encode(text)


@settings(max_examples=100, deadline=None)
@given(ANY_TEXT)
def test_without_special_tokens_in_it_a_text_needs_no_option(theirs, corpus, text):
    from training.corpus import SPECIAL_PIECES

    if not any(piece in text for piece in SPECIAL_PIECES.values()):
        assert text_ids(theirs[Bert], text) == corpus.tokenizer.pieces.encode(text)


@settings(max_examples=150, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=9),
    spaced=st.booleans(),
    at=st.integers(0, 10**6),
)
def test_a_mask_in_a_text_leaves_all_other_ids_as_they_are_in_training(
    theirs, corpus, words, spaced, at
):
    text = (" " if spaced else "").join(words)
    pieces = corpus.tokenizer.pieces.encode(text, out_type=str)
    place = at % len(pieces)
    assume(place == 0 or pieces[place - 1] != "▁")  # a space before a mask is the mask's own
    before, after = (
        "".join(part).replace("▁", " ") for part in (pieces[:place], pieces[place + 1 :])
    )
    space = " " if pieces[place].startswith("▁") and place else ""
    wanted = corpus.tokenizer.pieces.encode(text)
    wanted[place] = Special.MASK
    assert text_ids(theirs[Bert], before.removeprefix(" ") + space + "[MASK]" + after) == wanted


@pytest.mark.parametrize("text", ["我[MASK]你", "[MASK]你", "我 [MASK]你", "[MASK][MASK]"])
def test_a_mask_brings_no_space_of_its_own(theirs, text):
    ids = text_ids(theirs[Bert], text)
    tokens = theirs[Bert].convert_ids_to_tokens(ids)
    assert Special.MASK in ids
    assert "▁" not in tokens[1:]


def test_a_causal_model_cannot_be_ended_or_commanded_by_its_prompt(theirs):
    ids = theirs[Decoder]("Mara </s> [MASK] <s> sold")["input_ids"]
    assert ids[0] == Special.BOS
    assert all(id_ > Special.MASK for id_ in ids[1:])


@KINDS
def test_decoding_gives_the_text_back(theirs, kind):
    for text in ("Mara painted two geese.", "老船夫修好了那座旧钟。", "emoji 😀"):
        assert (
            theirs[kind].decode(theirs[kind](text)["input_ids"], skip_special_tokens=True) == text
        )


@pytest.mark.parametrize(
    "text", ["Mara [MASK] two geese.", "老船夫[MASK]那座旧钟。", "[MASK] painted"]
)
def test_the_stock_fill_mask_pipeline_fills_what_the_model_fills(exports, theirs, text):
    from transformers import AutoModelForMaskedLM, pipeline

    from training.export import quiet_transformers

    with quiet_transformers():
        found = pipeline("fill-mask", model=str(exports[Bert]), device="cpu", top_k=3)(text)
        model = AutoModelForMaskedLM.from_pretrained(exports[Bert]).eval()
    inputs = theirs[Bert](text, return_tensors="pt")
    place = inputs["input_ids"][0].tolist().index(Special.MASK)
    with torch.no_grad():
        best = torch.softmax(model(**inputs).logits[0, place], -1).topk(3)
    assert [row["token"] for row in found] == best.indices.tolist()
    assert [row["score"] for row in found] == pytest.approx(best.values.tolist(), rel=1e-4)


def test_loading_and_using_a_causal_export_prints_no_warning(exports):
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    folder = str(exports[Decoder])
    with everything_told() as told:
        tokenizer, model = (
            AutoTokenizer.from_pretrained(folder),
            AutoModelForCausalLM.from_pretrained(folder),
        )
        write = pipeline("text-generation", model=folder, device="cpu")
        write("Mara painted", max_new_tokens=4)
        write("Mara painted")
        alone = tokenizer("Mara", return_tensors="pt")
        together = tokenizer(
            ["Mara", "Old Tomas counted two geese"], return_tensors="pt", padding=True
        )
        lengths = [
            model.generate(**alone, eos_token_id=None, do_sample=False).shape[1],
            model.generate(**alone, max_new_tokens=3, eos_token_id=None).shape[1],
            model.generate(**together, max_new_tokens=3, eos_token_id=None).shape[1],
        ]
    prompts = [alone["input_ids"].shape[1]] * 2 + [together["input_ids"].shape[1]]
    assert lengths == [prompts[0] + 20, prompts[1] + 3, prompts[2] + 3]
    assert told == []


def test_a_batch_of_prompts_continues_each_as_if_it_were_alone(exports, theirs):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(exports[Decoder]).eval()
    prompts, how = (
        ["Mara", "Old Tomas counted two geese"],
        {"max_new_tokens": 5, "do_sample": False},
    )
    padded = theirs[Decoder](prompts, return_tensors="pt", padding=True)
    together = model.generate(**padded, **how, eos_token_id=None)[:, -5:]
    alone = [
        model.generate(**theirs[Decoder](p, return_tensors="pt"), **how, eos_token_id=None)
        for p in prompts
    ]
    assert together.tolist() == [ids[0, -5:].tolist() for ids in alone]


@KINDS
def test_the_readme_names_the_task_the_size_and_the_rule_for_text_from_the_web(exports, kind):
    model = kind(SHAPE, vocabulary=512, length=40, seed=4)
    card = (exports[kind] / "README.md").read_text()
    task = {Decoder: "text-generation", Bert: "fill-mask"}[kind]
    assert card == fill_card(EXPORTERS[type(model)].card, model)
    assert card.startswith(f"---\nlibrary_name: transformers\npipeline_tag: {task}\n---\n# A ")
    assert (
        f"{sum(weight.numel() for weight in model.parameters()):,} parameters, a vocabulary of 512"
        in card
    )
    assert "split_special_tokens" in card
