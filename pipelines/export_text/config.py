"""The configuration of `export-text`: the format, compression and columns of its files."""

from typing import Literal

from pydantic import model_validator

from gristmill.config import Config

JSONL_SUFFIXES = {"zstd": ".jsonl.zst", "gzip": ".jsonl.gz", "none": ".jsonl"}


class ExportTextConfig(Config):
    """How `export-text` writes.

    `columns` replaces the default columns, which are all but those that served to decide.
    """

    format: Literal["parquet", "jsonl"] = "parquet"
    compression: Literal["zstd", "gzip", "none"] = "zstd"
    columns: tuple[str, ...] = ()
    mask_personal: bool = True

    @property
    def ending(self) -> str:
        """The suffix of the names of files."""
        if self.format == "parquet":
            return ".parquet"
        return JSONL_SUFFIXES[self.compression]

    @model_validator(mode="after")
    def _check_columns(self) -> "ExportTextConfig":
        if self.columns and "text" not in self.columns:
            raise ValueError("`columns` must name `text`")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("`columns` must name each column once: readers refuse two of one name")
        return self
