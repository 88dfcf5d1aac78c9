"""The profiles that stand on planted pages only, so that an opted-out or paid text is not served openly elsewhere."""

from __future__ import annotations

from crawlers.demo.text import chinese, english
from crawlers.demo.text.piece import Piece


def spare_profiles() -> list[Piece]:
    """Nine English profiles and, last, a Chinese one."""
    people = [piece for piece in english.pieces() if piece.kind == "profile"]
    return [*people[1:18:2], next(piece for piece in chinese.pieces() if piece.kind == "profile")]
