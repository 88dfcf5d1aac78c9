"""Which store a path or URI names: a local folder, or memory."""

from gristmill.runs import storage
from gristmill.runs.local_store import LocalStore
from gristmill.runs.memory_store import MEMORY, MemoryStore
from gristmill.runs.store import RunStore, StorePlace, refuse_remote


def open_store(place: StorePlace) -> RunStore:
    """The store at a path or URI; a store is returned as it is. Nothing is made or read."""
    if isinstance(place, RunStore):
        return place
    if str(place).startswith(MEMORY):
        return MemoryStore(str(place))
    if not storage.is_local(place):
        raise refuse_remote(place)
    return LocalStore.from_uri(str(place))
