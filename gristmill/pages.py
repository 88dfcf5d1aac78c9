"""Pages that a step writes beside its data are drawn by the room of reports.

No room imports `reports`: a step asks for a drawing function by its name, and the installed
distribution says where it is (entry points of the group `gristmill.pages`).
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from gristmill.errors import GristmillError

GROUP = "gristmill.pages"


def load_page(name: str) -> Callable[..., Any]:
    """Return the function that draws the page `name`.

    Raises GristmillError where no installed distribution draws it.
    """
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            draw: Callable[..., Any] = entry.load()
            return draw
    raise GristmillError(f"no installed package draws the page `{name}`: run `make setup` again")
