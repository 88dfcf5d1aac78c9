"""A causal decoder in Llama's shape: RMSNorm before, rotary positions, SwiGLU, head tied to the
embedding.

The shape is chosen for its export: transformers' LlamaForCausalLM computes the same logits from the
same weights. Shape suffixes: B batch, T time, D width, H heads, K channels a head, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig

ROPE_THETA = 10_000.0
"""The base of the rotary wavelengths (Su et al. 2021)."""

NORM_EPS = 1e-6
"""The epsilon of RMSNorm, Llama's own."""


def rotary_table(length: int, channels: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, channels) of every position, in two equal halves as in Llama."""
    inverse = 1.0 / (ROPE_THETA ** (torch.arange(0, channels, 2).float() / channels))
    angles = torch.outer(torch.arange(length).float(), inverse)
    both = torch.cat([angles, angles], dim=-1)
    return both.cos(), both.sin()


def rotate(x_bhtk: Tensor, cos_tk: Tensor, sin_tk: Tensor) -> Tensor:
    """Rotate each pair (channel i, channel i + K/2) by its position's angle."""
    half = x_bhtk.shape[-1] // 2
    rotated = torch.cat([-x_bhtk[..., half:], x_bhtk[..., :half]], dim=-1)
    return x_bhtk * cos_tk + rotated * sin_tk


class CausalAttention(nn.Module):
    """Causal self-attention with one fused projection for queries, keys and values."""

    def __init__(self, shape: ModelConfig) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x_btd: Tensor, cos_tk: Tensor, sin_tk: Tensor) -> Tensor:
        """Mix each position with those before it."""
        batch, time, width = x_btd.shape
        qkv = self.qkv(x_btd).view(batch, time, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        query = rotate(query, cos_tk, sin_tk)
        key = rotate(key, cos_tk, sin_tk)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        joined_btd = mixed.transpose(1, 2).reshape(batch, time, width)
        out: Tensor = self.out(joined_btd)
        return out


class SwiGlu(nn.Module):
    """The gated feed-forward layer."""

    def __init__(self, shape: ModelConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(shape.width, 2 * shape.feed_forward, bias=False)
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x_btd: Tensor) -> Tensor:
        """Expand, gate and project back."""
        gate, up = self.gate_up(x_btd).chunk(2, dim=-1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


class DecoderBlock(nn.Module):
    """Attention and feed-forward, each normalised before and added to the stream."""

    def __init__(self, shape: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, NORM_EPS)
        self.attention = CausalAttention(shape)
        self.mlp_norm = nn.RMSNorm(shape.width, NORM_EPS)
        self.mlp = SwiGlu(shape)

    def forward(self, x_btd: Tensor, cos_tk: Tensor, sin_tk: Tensor) -> Tensor:
        """One layer of the stream."""
        x_btd = x_btd + self.attention(self.attention_norm(x_btd), cos_tk, sin_tk)
        out: Tensor = x_btd + self.mlp(self.mlp_norm(x_btd))
        return out


class Decoder(nn.Module):
    """Token ids in, next-token logits out."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: ModelConfig, *, vocabulary: int, length: int, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.vocabulary = vocabulary
        self.length = length
        self.embedding = nn.Embedding(vocabulary, shape.width)
        self.blocks = nn.ModuleList(DecoderBlock(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, NORM_EPS)
        cos, sin = rotary_table(length, shape.width // shape.heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise(seed)

    def forward(self, ids_bt: Tensor) -> Tensor:
        """Logits (B, T, V) for the token after each position."""
        time = ids_bt.shape[1]
        x_btd = self.embedding(ids_bt)
        for block in self.blocks:
            x_btd = block(x_btd, self.cos[:time], self.sin[:time])
        return F.linear(self.norm(x_btd), self.embedding.weight)

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        # Two layers a block add to the stream; so scaled, its variance does not grow with depth.
        residual = 0.02 / (2 * self.shape.layers) ** 0.5
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                last = name.endswith(("attention.out.weight", "mlp.down.weight"))
                nn.init.normal_(weight, std=residual if last else 0.02, generator=generator)
