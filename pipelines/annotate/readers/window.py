"""A range of a file as a file of its own, so that a split reads its own bytes and no others."""

import io
from typing import IO


class Window(io.RawIOBase):
    """The bytes [start, stop) of a file, local or remote, that somebody else opened and closes."""

    def __init__(self, file: IO[bytes], start: int, stop: int) -> None:
        super().__init__()
        self.file, self.start, self.stop = file, start, stop
        self.at = start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        """Where the next byte is read, from the window's start."""
        return self.at - self.start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = {io.SEEK_SET: self.start, io.SEEK_CUR: self.at, io.SEEK_END: self.stop}[
            whence
        ] + offset
        return self.tell()

    def read(self, size: int | None = -1) -> bytes:
        room = max(0, self.stop - self.at)
        self.file.seek(self.at)
        data = self.file.read(room if size is None or size < 0 else min(size, room))
        self.at += len(data)
        return data

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
