"""Which store a path or URI names: a local folder, or memory."""

from gristmill.runs import storage
from gristmill.runs.local_store import LocalStore
from gristmill.runs.memory_store import MEMORY, MemoryStore
from gristmill.runs.store import RunStore, StorePlace, refuse_remote


def open_store(address: StorePlace) -> RunStore:
    """The store at a path or URI; a store is returned as it is. Nothing is made or read."""
    if isinstance(address, RunStore):
        return address
    if str(address).startswith(MEMORY):
        return MemoryStore(str(address))
    if not storage.is_local(address):
        raise refuse_remote(address)
    return LocalStore.from_uri(str(address))
