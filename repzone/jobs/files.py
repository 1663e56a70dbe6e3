"""Log files: opened whatever compressed them, read as whole lines, known again by their octets.

Positions count octets of the text, uncompressed.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from repzone.errors import RepzoneError

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

FINGERPRINT = 1024
"""Octets at the start of a file, and before the position in it, that tell it from others."""

LONGEST = 64 * 1024
"""Octets of the longest line that is looked at."""

BLOCK = 1024 * 1024
"""Octets that are read at once."""

NUL = b"\0"

DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError, lzma.LZMAError)
"""What reading raises where compressed text is cut off or damaged, as while it is still being compressed."""


class LogFile:
    """An open log: its text, whatever compressed it, and its name for people. Use it in a `with`."""

    def __init__(self, name: Path, file: BufferedReader) -> None:
        """Take a regular file, and tell by its first octets what compressed it: gzip (RFC 1952 §2.3.1), zstd (RFC 8878
        §3.1.1), xz (its file format, §2.1.1.1), bzip2.
        """
        self.name = name
        self.file = file
        begin = file.read(6)
        file.seek(0)
        self.text: IO[bytes] = file
        if begin[:2] == b"\x1f\x8b":
            self.text = cast(IO[bytes], gzip.GzipFile(fileobj=file))
        elif begin[:4] == b"\x28\xb5\x2f\xfd":
            self.text = cast(IO[bytes], zstd.ZstdFile(file))
        elif begin == b"\xfd7zXZ\0":
            self.text = cast(IO[bytes], lzma.LZMAFile(file))  # noqa: SIM115 - closed with the log
        elif begin[:3] == b"BZh":
            self.text = cast(IO[bytes], bz2.BZ2File(file))

    def __enter__(self) -> LogFile:
        """Give the log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log."""
        self.close()

    def close(self) -> None:
        """Close the log."""
        self.file.close()

    @property
    def compressed(self) -> bool:
        """Tell whether the text is not what the file holds."""
        return self.text is not self.file

    @property
    def length(self) -> int:
        """Octets of the file, as it now is."""
        return os.fstat(self.file.fileno()).st_size

    @property
    def size(self) -> int | None:
        """Octets of the text, as it now is; None when only reading tells."""
        return None if self.compressed else self.length

    @property
    def modified(self) -> int:
        """When the file was written last, in seconds."""
        return int(os.fstat(self.file.fileno()).st_mtime)

    @property
    def hints(self) -> tuple[int, int]:
        """Device and inode: for people, not to know the file again by."""
        about = os.fstat(self.file.fileno())
        return about.st_dev, about.st_ino

    def peek(self, start: int, length: int) -> bytes:
        """Give the octets of the text from `start` on, fewer where it ends; who reads plain text is not moved by it.

        What cannot be decompressed raises one of DAMAGE.
        """
        if not self.compressed:
            return os.pread(self.file.fileno(), length, start)
        self.text.seek(start)
        return self.text.read(length)

    def lines(self, position: int) -> Lines:
        """Give the lines from a position on, which must be behind a whole line."""
        length = min(position, FINGERPRINT)
        head, tail = self.peek(0, length), self.peek(position - length, length)
        self.text.seek(position)
        return Lines(self.text, position, head, tail)


def open_log(path: Path) -> LogFile:
    """Open a log, plain or compressed; RepzoneError names the path and why it cannot be read."""
    try:
        # O_NONBLOCK: a FIFO put in the place of a log must not hang us; for regular files it means nothing.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RepzoneError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RepzoneError(f"{path}: is no regular file")
    return LogFile(path, os.fdopen(descriptor, "rb"))


class Lines:
    """The whole lines of a text, from a position on; the text may grow between two reads.

    Its fingerprint is made of what was read with the lines: it holds for them, whatever the file is by now.
    """

    def __init__(self, text: IO[bytes], position: int = 0, head: bytes = b"", tail: bytes = b"") -> None:
        """Take a text that stands at the position, the first FINGERPRINT octets before that, and the last ones."""
        self.position = position  # behind the last whole line
        self._text = text
        self._head = head
        self._tail = tail
        self._rest = b""  # what follows the last whole line; of a line longer than LONGEST only
        self._dropped = 0  # how long it is so far,
        self._ends = b"", b""  # how it begins and how it goes on now

    def read(self) -> bytes | None:
        """Give the lines that one block more completes, each with its newline; None when there is no more for now.

        A line that is much longer than LONGEST is a NUL in its place, which no reader takes. What cannot be
        decompressed raises one of DAMAGE.
        """
        block = self._text.read(BLOCK)
        if not block:
            return None
        text = self._rest + block
        cut = text.rfind(b"\n") + 1
        whole, self._rest = text[:cut], text[cut:]
        if cut:
            dropped = self._dropped
            self._move(whole)
            if dropped:
                whole = NUL + whole[whole.find(b"\n") :]
        if len(self._rest) > LONGEST:  # keep the memory flat
            self._drop()
        return whole

    def end(self) -> bytes:
        """Give what stands behind the last newline, for a text that will not grow."""
        rest, dropped = self._rest, self._dropped
        self._rest = b""
        self._move(rest)
        return NUL if dropped else rest

    @property
    def begun(self) -> tuple[int, bytes]:
        """What was read of a line that is not whole yet: where it stands, and its octets but those let go."""
        return self.position + self._dropped, self._rest

    def fingerprint(self) -> tuple[bytes, int]:
        """Give the digests of the first octets and of those before the position; how many octets the first are of."""
        return fingerprint(self._head, self._tail, self.position), len(self._head)

    def _move(self, whole: bytes) -> None:
        """Move the position behind these octets, which follow what was dropped."""
        begin, end = self._ends
        if self.position < FINGERPRINT:
            self._head = (self._head + begin + whole[:FINGERPRINT])[:FINGERPRINT]
        self._tail = (self._tail + end + whole[-FINGERPRINT:])[-FINGERPRINT:]
        self.position += self._dropped + len(whole)
        self._dropped, self._ends = 0, (b"", b"")

    def _drop(self) -> None:
        begin, _ = self._ends
        self._ends = begin or self._rest[:FINGERPRINT], self._rest[-FINGERPRINT:]
        self._dropped += len(self._rest)
        self._rest = b""


def fingerprint(head: bytes, tail: bytes, position: int) -> bytes:
    """Digest the first octets of a text, and of those right before the position the ones that are not among them."""
    more = min(max(position - len(head), 0), len(tail))
    return digest(head) + digest(tail[len(tail) - more :])[:16]


def digest(octets: bytes) -> bytes:
    """Give the SHA-256 of octets."""
    return hashlib.sha256(octets).digest()


def read_blocks(text: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a text to its end, many at once, each with its newline; a line of more than LONGEST octets
    may be a NUL in its place, which no reader takes. RepzoneError when it cannot be decompressed.
    """
    lines = Lines(text)
    try:
        while (block := lines.read()) is not None:
            yield block
    except DAMAGE as error:
        raise RepzoneError(f"the compressed log is cut off or damaged: {error}") from None
    if rest := lines.end():
        yield rest + b"\n"


def read_lines(text: IO[bytes]) -> Iterator[bytes | None]:
    """Yield each line of a text to its end, without newline; one of more than LONGEST octets as None.

    RepzoneError when it cannot be decompressed.
    """
    for block in read_blocks(text):
        yield from cut(block)


def cut(block: bytes) -> Iterator[bytes | None]:
    """Give the lines of a block, without newline; one of more than LONGEST octets as None."""
    return map(_short, block.split(b"\n")[:-1])


def _short(line: bytes) -> bytes | None:
    return None if line == NUL or len(line) > LONGEST else line
