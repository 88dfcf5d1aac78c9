"""A file that is hashed while it is written, so that describing it needs no second reading."""

import hashlib
import io
from collections.abc import Callable, Iterator
from typing import IO

READ_BYTES = 1 << 20
"""Bytes read at a time where a file has to be hashed again."""


class HashedFile(io.RawIOBase):
    """Writes through to `file`, and knows `size` and `sha256` of what was written.

    Zip writers go back to mend a header. The running hash is of no use then, and the content is
    read again once, when the hash is asked for. The file must be readable and seekable for that.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self._hashed_bytes = 0
        self._is_rewritten = False
        self._size = 0
        self._sha256 = ""

    @property
    def size(self) -> int:
        """Bytes of the file; known when it is sealed."""
        return self._size

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content in hex; known when it is sealed, empty before."""
        return self._sha256

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always: zip writers need it."""
        return True

    def write(self, data: object) -> int:  # any buffer, as io has it
        """Write to the file below, and hash what continues the hashed bytes."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        if self._file.tell() == self._hashed_bytes and not self._is_rewritten:
            self._hash.update(view)
            self._hashed_bytes += view.nbytes
        else:
            self._is_rewritten = True
        self._file.write(view)
        return view.nbytes

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the file below."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position in the file below."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """Cut the file below; its hash is computed anew."""
        self._is_rewritten = True
        return self._file.truncate(size)

    def flush(self) -> None:
        """Flush the file below."""
        # Closing flushes; the file below may have been closed by then.
        if not self._file.closed:
            self._file.flush()

    def seal(self) -> None:
        """Fix size and hash. Nothing may be written afterwards."""
        self._file.flush()
        self._size = self._file.seek(0, io.SEEK_END)
        if self._is_rewritten:
            self._hash = hashlib.sha256()
            self._file.seek(0)
            for chunk in iter_chunks(self._file.read):
                self._hash.update(chunk)
        self._sha256 = self._hash.hexdigest()


def iter_chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The rest of a file in chunks of READ_BYTES."""
    while chunk := read(READ_BYTES):
        yield chunk
