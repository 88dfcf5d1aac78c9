"""The classic BERT: learned positions and segments, post-norm encoder, a masked-token head and a next-sentence head.

The shape is chosen for its export: transformers' BertForPreTraining computes the same logits, and with the tanh form
of GELU keras-hub does too. Shape suffixes: B batch, T time, D width, N labelled positions, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig

NORM_EPS = 1e-12


def gelu_new(x: Tensor) -> Tensor:
    """GELU in its tanh form, the one both transformers (`gelu_new`) and keras-hub compute."""
    return F.gelu(x, approximate="tanh")


class Layer(nn.Module):
    """Self-attention and feed-forward, each added to the stream and then normalised."""

    def __init__(self, shape: ModelConfig) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.attention_norm = nn.LayerNorm(shape.width, NORM_EPS)
        self.up = nn.Linear(shape.width, shape.feed_forward)
        self.down = nn.Linear(shape.feed_forward, shape.width)
        self.mlp_norm = nn.LayerNorm(shape.width, NORM_EPS)

    def forward(self, x_btd: Tensor, mask: Tensor | None) -> Tensor:
        """One layer of the stream; `mask` (B, 1, 1, T) is True where there is text."""
        batch, time, width = x_btd.shape
        query, key, value = (
            self.qkv(x_btd).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x_btd = self.attention_norm(
            x_btd + self.out(mixed.transpose(1, 2).reshape(batch, time, width))
        )
        out: Tensor = self.mlp_norm(x_btd + self.down(gelu_new(self.up(x_btd))))
        return out


class Bert(nn.Module):
    """Token ids and segments in; masked-token and next-sentence logits out."""

    def __init__(self, shape: ModelConfig, *, vocabulary: int, length: int, seed: int) -> None:
        super().__init__()
        self.shape, self.vocabulary, self.length = shape, vocabulary, length
        self.embedding = nn.Embedding(vocabulary, shape.width)
        self.positions = nn.Embedding(length, shape.width)
        self.segments = nn.Embedding(2, shape.width)
        self.embedding_norm = nn.LayerNorm(shape.width, NORM_EPS)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.pooler = nn.Linear(shape.width, shape.width)
        self.transform = nn.Linear(shape.width, shape.width)
        self.transform_norm = nn.LayerNorm(shape.width, NORM_EPS)
        self.head_bias = nn.Parameter(torch.zeros(vocabulary))
        self.next_sentence = nn.Linear(shape.width, 2)
        self._initialise(seed)

    def hidden(self, ids_bt: Tensor, segments_bt: Tensor, attention_bt: Tensor) -> Tensor:
        """The last layer's states (B, T, D); `attention_bt` is True where there is text."""
        x_btd: Tensor = (
            self.embedding(ids_bt)
            + self.positions.weight[: ids_bt.shape[1]]
            + self.segments(segments_bt)
        )
        x_btd = self.embedding_norm(x_btd)
        # A batch without padding needs no mask, and attention is faster without one.
        mask = None if bool(attention_bt.all()) else attention_bt[:, None, None, :]
        for layer in self.layers:
            x_btd = layer(x_btd, mask)
        return x_btd

    def token_logits(self, states_nd: Tensor) -> Tensor:
        """Vocabulary logits for the given states only: in training, just the labelled ones (1 in 7)."""
        return F.linear(
            self.transform_norm(gelu_new(self.transform(states_nd))),
            self.embedding.weight,
            self.head_bias,
        )

    def pair_logits(self, states_btd: Tensor) -> Tensor:
        """Logits (B, 2): class 0, the second segment follows the first; class 1, it is from elsewhere."""
        out: Tensor = self.next_sentence(torch.tanh(self.pooler(states_btd[:, 0])))
        return out

    def forward(
        self, ids_bt: Tensor, segments_bt: Tensor, attention_bt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """All logits: (B, T, V) and (B, 2)."""
        states = self.hidden(ids_bt, segments_bt, attention_bt)
        return self.token_logits(states), self.pair_logits(states)

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
