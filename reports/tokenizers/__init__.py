"""The page of `gristmill tokenizer report`: fertility of tokenizers, and a study of vocabulary sizes."""

from reports.tokenizers.page import draw_page

__all__ = ["draw_page"]
