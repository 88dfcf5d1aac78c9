"""The profiles that stand on planted pages only: a text that is refused there is open nowhere else."""

from __future__ import annotations

from crawlers.demo.text import chinese, english
from crawlers.demo.text.piece import Piece


def choose_spare_profiles() -> list[Piece]:
    """Choose nine English profiles and, last, a Chinese one."""
    profiles = [piece for piece in english.write_pieces() if piece.kind == "profile"]
    chinese_profiles = [piece for piece in chinese.write_pieces() if piece.kind == "profile"]
    return [*profiles[1:18:2], chinese_profiles[0]]
