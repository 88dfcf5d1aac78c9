"""The classic BERT: learned positions and segments, post-norm encoder, a masked-token head and a
next-sentence head.

The shape is chosen for its export: transformers' BertForPreTraining computes the same logits, and
with the tanh form of GELU keras-hub does too. Shape suffixes: B batch, T time, D width, N labelled
positions, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig

NORM_EPS = 1e-12
"""The epsilon of BERT's published weights (Devlin et al. 2019)."""


def gelu_new(x: Tensor) -> Tensor:
    """GELU in its tanh form, the one both transformers (`gelu_new`) and keras-hub compute."""
    return F.gelu(x, approximate="tanh")


class BertLayer(nn.Module):
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
        qkv_btd = self.qkv(x_btd).view(batch, time, 3, self.heads, -1)
        query, key, value = qkv_btd.permute(2, 0, 3, 1, 4)  # each (B, heads, T, channels)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined_btd = mixed.transpose(1, 2).reshape(batch, time, width)
        x_btd = self.attention_norm(x_btd + self.out(joined_btd))
        fed_forward = self.down(gelu_new(self.up(x_btd)))
        out: Tensor = self.mlp_norm(x_btd + fed_forward)
        return out


class BertEncoder(nn.Module):
    """Token ids and segments in, one state per token out; a subclass adds the heads."""

    def __init__(self, shape: ModelConfig, *, vocabulary: int, length: int, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.vocabulary = vocabulary
        self.length = length
        self.embedding = nn.Embedding(vocabulary, shape.width)
        self.positions = nn.Embedding(length, shape.width)
        self.segments = nn.Embedding(2, shape.width)
        self.embedding_norm = nn.LayerNorm(shape.width, NORM_EPS)
        self.layers = nn.ModuleList(BertLayer(shape) for _ in range(shape.layers))
        self.add_heads()
        self._initialise(seed)

    def add_heads(self) -> None:
        """Create the heads; their weights are initialised in the order in which they
        are created.
        """

    def hidden(self, ids_bt: Tensor, segments_bt: Tensor, attention_bt: Tensor) -> Tensor:
        """The last layer's states (B, T, D); `attention_bt` is True where there is text."""
        time = ids_bt.shape[1]
        x_btd: Tensor = self.embedding(ids_bt)
        x_btd = x_btd + self.positions.weight[:time]
        x_btd = self.embedding_norm(x_btd + self.segments(segments_bt))
        # A batch without padding needs no mask, and attention is faster without one.
        mask = None if bool(attention_bt.all()) else attention_bt[:, None, None, :]
        for layer in self.layers:
            x_btd = layer(x_btd, mask)
        return x_btd

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for weight in self.parameters():
            if weight.dim() == 2:
                # 0.02 is BERT's own `initializer_range`.
                nn.init.normal_(weight, std=0.02, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)


class MaskedBert(BertEncoder):
    """An encoder with the masked-token head; the output layer is tied to the embedding."""

    def add_heads(self) -> None:
        """Create the masked-token head."""
        self.add_token_head()

    def add_token_head(self) -> None:
        """Create the transform before the tied output layer, and its bias."""
        width = self.shape.width
        self.transform = nn.Linear(width, width)
        self.transform_norm = nn.LayerNorm(width, NORM_EPS)
        self.head_bias = nn.Parameter(torch.zeros(self.vocabulary))

    def token_logits(self, states_nd: Tensor) -> Tensor:
        """Logits (N, V) for the given states only: in training, just the labelled ones (1 in 7)."""
        transformed = self.transform_norm(gelu_new(self.transform(states_nd)))
        return F.linear(transformed, self.embedding.weight, self.head_bias)


class Bert(MaskedBert):
    """An encoder with the masked-token head and the next-sentence head."""

    def add_heads(self) -> None:
        """Create the pooler, the masked-token head and the next-sentence head."""
        # In this order: the pooler's weights are drawn before those of the token head.
        width = self.shape.width
        self.pooler = nn.Linear(width, width)
        self.add_token_head()
        self.next_sentence = nn.Linear(width, 2)

    def pair_logits(self, states_btd: Tensor) -> Tensor:
        """Logits (B, 2): class 0, the second segment follows the first; class 1, it is from
        elsewhere.
        """
        pooled = torch.tanh(self.pooler(states_btd[:, 0]))
        logits: Tensor = self.next_sentence(pooled)
        return logits

    def forward(
        self, ids_bt: Tensor, segments_bt: Tensor, attention_bt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """All logits: (B, T, V) and (B, 2)."""
        states = self.hidden(ids_bt, segments_bt, attention_bt)
        return self.token_logits(states), self.pair_logits(states)
