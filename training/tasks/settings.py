"""Settings that belong to tasks and not to every training; read without torch.

The section `[data]` of a configuration holds them (`DataConfig` inherits from each class here).
"""

from pydantic import Field

from gristmill.config import Config


class MaskingConfig(Config):
    """How masked language models choose their targets."""

    mask_rate: float = Field(default=0.15, gt=0, lt=1)
    """Share of the text tokens that must be predicted (tasks with masks only)."""
