"""The one style sheet of all pages, as text: `templates/style.css`."""

from pathlib import Path

CSS = (Path(__file__).parents[1] / "templates" / "style.css").read_text(encoding="utf-8")
