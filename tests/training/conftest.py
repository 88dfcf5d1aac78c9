"""A small packed corpus of sentences written for these tests, with its tokenizer in both forms, sealed as a pack run."""

import io
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece as spm
import torch

from gristmill.config import Config
from gristmill.corpus.shards import shard_name, shard_schema, write_dataset_files, write_shard
from gristmill.hashing import sha256_file
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun
from gristmill.runs.run import start_run
from training.config import PretrainConfig
from training.corpus import PackedCorpus, open_corpus
from training.data import TokenSplit

PEOPLE = [
    "Mara",
    "Old Tomas",
    "the baker's daughter",
    "a night nurse",
    "the ferryman",
    "Doctor Lin",
    "her uncle",
]
DEEDS = [
    "repaired",
    "counted",
    "painted",
    "carried home",
    "described in a letter",
    "sold",
    "forgot",
    "weighed",
]
THINGS = [
    "seven lanterns",
    "the broken clock",
    "a map of the harbour",
    "twelve sacks of rye",
    "the blue door",
    "two geese",
]
PLACES = [
    "before the rain came",
    "beside the mill pond",
    "in the attic",
    "at the market in Ostrow",
    "by the north gate",
]
CHINESE_PEOPLE, CHINESE_DEEDS = (
    ["王医生", "老船夫", "面包师的女儿", "邻居"],
    ["修好了", "卖掉了", "画了", "搬走了"],
)
CHINESE_THINGS, CHINESE_PLACES = (
    ["那座旧钟", "七盏灯笼", "蓝色的门", "一张地图"],
    ["在河边", "下雨之前", "在市场里", "昨天晚上"],
)


def sentence(rng: random.Random, lang: str) -> str:
    """One sentence made of the lists above."""
    if lang == "zh":
        who, what = rng.choice(CHINESE_PEOPLE), rng.choice(CHINESE_THINGS)
        return f"{who}{rng.choice(CHINESE_PLACES)}{rng.choice(CHINESE_DEEDS)}{what}。"
    words = (rng.choice(PEOPLE), rng.choice(DEEDS), rng.choice(THINGS), rng.choice(PLACES))
    return " ".join(words).capitalize() + "."


def write_documents(count: int, *, seed: int) -> list[list[str]]:
    """Documents as lists of sentences, most English, some Chinese, some a single sentence long."""
    rng = random.Random(seed)
    lengths = [1 if rng.random() < 0.1 else rng.randint(2, 12) for _ in range(count)]
    return [
        [sentence(rng, "zh" if number % 4 == 3 else "en") for _ in range(n)]
        for number, n in enumerate(lengths)
    ]


class PackSettings(Config):
    """The settings of the pack run made here."""

    maker: str = "tests/training"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train_tokenizer(folder: Path, documents: Sequence[list[str]], *, vocabulary: int) -> Path:
    """Write `tokenizer.model` and its Hugging Face form into `folder`."""
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=(text for document in documents for text in document),
        model_writer=model,
        vocab_size=vocabulary,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        num_threads=1,
        minloglevel=2,
    )
    storage.commit_bytes(folder / "tokenizer.model", model.getvalue())
    write_hugging_face_form(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 512 pieces for the written documents."""
    return train_tokenizer(
        tmp_path_factory.mktemp("tokenizer"), write_documents(300, seed=1), vocabulary=512
    )


def write_hugging_face_form(folder: Path) -> None:
    """The tokenizer folder of a pack run: pieces and merges of the sentencepiece model as a fast tokenizer."""
    import tokenizers
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import AddedToken, decoders, models, normalizers

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((folder / "tokenizer.model").read_bytes())
    ids = {piece.piece: number for number, piece in enumerate(proto.pieces)}
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == 1}
    splits = [
        (word[:cut], word[cut:], score)
        for word, score in scores.items()
        for cut in range(1, len(word))
    ]
    known = [split for split in splits if split[0] in scores and split[1] in scores]
    merges = [
        (a, b)
        for a, b, score in sorted(
            known, key=lambda split: (-split[2], ids[split[0]], ids[split[1]])
        )
    ]
    made = tokenizers.Tokenizer(
        models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    specials = [piece.piece for piece in proto.pieces if piece.type in (2, 3)]
    made.add_special_tokens(
        [AddedToken(piece, normalized=False, special=True) for piece in specials]
    )
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    more = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1 << 30,
        "split_special_tokens": True,
    }
    storage.commit_json(folder / "tokenizer.json", json.loads(made.to_str()))
    storage.commit_json(folder / "tokenizer_config.json", {**settings, **names, **more})
    storage.commit_json(folder / "special_tokens_map.json", {**names, **more})


def shard_batch(
    documents: Sequence[list[str]], pieces: spm.SentencePieceProcessor, schema: pa.Schema
) -> pa.RecordBatch:
    """Documents as one batch of the shard schema."""
    encoded = [[pieces.encode(text) for text in document] for document in documents]
    starts = [[sum(map(len, parts[:i])) for i in range(len(parts))] for parts in encoded]
    columns = {
        "input_ids": [[token for part in parts for token in part] for parts in encoded],
        "sentences": starts,
        "id": [f"{number:032x}" for number in range(len(documents))],
        "source": ["written"] * len(documents),
        "lang": ["en"] * len(documents),
        "bytes": [len("".join(document).encode()) for document in documents],
    }
    return pa.RecordBatch.from_pydict(columns, schema=schema)


PackMaker = Callable[..., FinishedRun]
Documents = Sequence[list[str]]


def seal_pack(
    out: Path, tokenizer: Path, splits: Mapping[str, Documents], *, made_with: str | None = None
) -> FinishedRun:
    """Seal a pack run below `out`: the tokenizer's folder, and each split in two shards of several batches."""
    pieces = spm.SentencePieceProcessor(model_file=str(tokenizer / "tokenizer.model"))
    sha256 = sha256_file(tokenizer / "tokenizer.model")
    schema = shard_schema(pieces.vocab_size(), {"gristmill.tokenizer": made_with or sha256})
    with start_run("pack", out=out, config=PackSettings()) as run:
        for path in tokenizer.iterdir():
            storage.commit_bytes(run.path / "tokenizer" / path.name, path.read_bytes())
        for name, documents in splits.items():
            middle = len(documents) // 2
            names = [shard_name(number, 2) for number in range(2)]
            for shard, half in zip(names, (documents[:middle], documents[middle:]), strict=True):
                third = len(half) // 3
                batches = [
                    shard_batch(part, pieces, schema)
                    for part in (half[:third], half[third:])
                    if part
                ]
                write_shard(run.path / name / shard, batches, schema)
            write_dataset_files(run.path / name, names, fingerprint=sha256)
        return run.finish(details={"tokenizer": sha256, "vocab_size": pieces.vocab_size()})


@pytest.fixture(scope="session")
def make_pack(tokenizer_folder: Path) -> PackMaker:
    """A function that seals a pack run of written documents below a folder."""

    def make(
        out: Path, *, train: int = 240, validation: int = 60, made_with: str | None = None
    ) -> FinishedRun:
        splits = {
            "train": write_documents(train, seed=2),
            "validation": write_documents(validation, seed=3),
        }
        return seal_pack(out, tokenizer_folder, splits, made_with=made_with)

    return make


@pytest.fixture(scope="session")
def wikipedia_pack(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A pack run of 1,200 real Wikipedia articles with a tokenizer of 4,096 pieces."""
    texts = pq.read_table(shared_data / "corpus" / "wiki_en.parquet", columns=["text"])[
        "text"
    ].to_pylist()[:1200]
    documents = [[part for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part] for text in texts]
    documents = [document for document in documents if document]
    folder = train_tokenizer(tmp_path_factory.mktemp("real"), documents[:600], vocabulary=4096)
    splits = {"train": documents[100:], "validation": documents[:100]}
    return seal_pack(tmp_path_factory.mktemp("real-runs"), folder, splits)


@pytest.fixture(scope="session")
def pack(make_pack: PackMaker, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A sealed pack run."""
    return make_pack(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def corpus(pack: FinishedRun) -> PackedCorpus:
    """That run, opened for training."""
    return open_corpus(pack)


def split_of(documents: Sequence[Sequence[Sequence[int]]], *, batch_rows: int = 2) -> TokenSplit:
    """A split from documents given as sentences of token ids; every token stands for two bytes."""
    schema = shard_schema(512, {})
    rows = [
        {
            "input_ids": [token for part in parts for token in part],
            "sentences": [sum(map(len, parts[:i])) for i in range(len(parts))],
            "id": str(number),
            "source": "written",
            "lang": "en",
            "bytes": 2 * sum(map(len, parts)),
        }
        for number, parts in enumerate(documents)
    ]
    groups = [rows[first : first + batch_rows] for first in range(0, len(rows), batch_rows)]
    batches = [pa.RecordBatch.from_pylist(group, schema=schema) for group in groups]
    return TokenSplit("train", [pa.Table.from_batches(batches, schema=schema)])


@pytest.fixture(scope="session")
def make_split() -> Callable[..., TokenSplit]:
    """The function `split_of`."""
    return split_of


@pytest.fixture(scope="session")
def make_config() -> Callable[..., PretrainConfig]:
    """A function giving the smallest useful configuration of an objective, with overrides by section."""

    def make(objective: str = "causal", **sections: dict[str, object]) -> PretrainConfig:
        table: dict[str, object] = {
            "objective": objective,
            "model": {"layers": 2, "width": 32, "heads": 2, "feed_forward": 64},
            "data": {"sequence_length": 32},
            "optim": {"learning_rate": 3e-3, "warmup_steps": 2},
            "loop": {
                "steps": 8,
                "batch": 8,
                "micro_batch": 4,
                "validate_every": 4,
                "validation_samples": 16,
                "checkpoint_every": 2,
                "threads": 1,
            },
        }
        for name, values in sections.items():
            table[name] = {**table.get(name, {}), **values}  # type: ignore[dict-item]
        return PretrainConfig.model_validate(table)

    return make
