"""The configuration of corpus preparation: one section for each step, from the step's own module.

Each section is hashed on its own into the name of its step's run.
"""

from typing import Annotated

from pydantic import Field

from gristmill.config import Config
from pipelines.annotate.config import AnnotateConfig
from pipelines.decide.config import DecideConfig
from pipelines.export_text.config import ExportTextConfig
from pipelines.pack.config import PackConfig
from pipelines.tokenizer.config import TokenizerConfig


class ErrorsConfig(Config):
    """How many quarantined records a run may have before it ends with exit code 3."""

    budget: Annotated[int, Field(ge=0)] = 0


class PrepareConfig(Config):
    """All steps of preparation."""

    annotate: AnnotateConfig = AnnotateConfig()
    decide: DecideConfig = DecideConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    export_text: ExportTextConfig = ExportTextConfig()
    errors: ErrorsConfig = ErrorsConfig()
