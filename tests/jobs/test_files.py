"""Log files: whole lines, whatever compressed them, and what tells one file from another."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tracemalloc
from pathlib import Path
from typing import IO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.errors import RepzoneError
from repzone.jobs import files
from repzone.jobs.files import DAMAGE, FINGERPRINT, LONGEST, NUL, Lines, fingerprint, open_log, read_lines, zstd

PACKED = {"x.gz": gzip.compress, "x.zst": zstd.compress, "x.xz": lzma.compress, "x.bz2": bz2.compress}
TEXT = b"".join(b"line %d\n" % number for number in range(1000))


class Endless(io.RawIOBase):
    """A text with a line of that many octets between two short ones; reads give what was asked for."""

    def __init__(self, length: int) -> None:
        self._left = length
        self._ends = [b"before\n", b"\nafter\n"]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if len(self._ends) == 2 or not self._left:
            return self._ends.pop(0) if self._ends else b""
        given = min(size, self._left)
        self._left -= given
        return b"x" * given


def blocks(lines: Lines) -> list[bytes]:
    """Read to the end."""
    found = []
    while (block := lines.read()) is not None:
        found.append(block)
    return found


@given(st.lists(st.binary(max_size=40).map(lambda octets: octets.replace(b"\n", b" "))), st.binary(max_size=20))
def test_every_line_comes_once_and_one_without_newline_at_the_end(lines: list[bytes], rest: bytes) -> None:
    rest = rest.replace(b"\n", b" ").replace(NUL, b"x")
    lines = [line.replace(NUL, b"x") for line in lines]
    text = b"".join(line + b"\n" for line in lines) + rest
    assert list(read_lines(io.BytesIO(text))) == ([*lines, rest] if rest else lines)


@given(st.binary(max_size=4000), st.lists(st.integers(1, 200), min_size=1), st.integers(0, 4000))
def test_however_a_text_grows_its_whole_lines_come_once_and_give_one_fingerprint(
    text: bytes, steps: list[int], start: int
) -> None:
    text = text.replace(b"e", b"\n")
    start = text.rfind(b"\n", 0, start) + 1
    end = text.rfind(b"\n") + 1
    growing = io.BytesIO()
    lines = Lines(growing, start, text[:start][:FINGERPRINT], text[:start][-FINGERPRINT:])
    found, at = b"", start
    for number in range(10_000):
        step = steps[number % len(steps)]
        growing.write(text[at : at + step])
        growing.seek(at - start)
        at += step
        found += b"".join(blocks(lines))
        if at >= len(text):
            break
    assert (found, lines.position) == (text[start:end], max(start, end))
    head, tail = text[: max(start, end)][:FINGERPRINT], text[: max(start, end)][-FINGERPRINT:]
    assert lines.fingerprint() == (fingerprint(head, tail, lines.position), len(head))


@pytest.mark.parametrize("length", [LONGEST + 1, files.BLOCK - 8, files.BLOCK, 3 * files.BLOCK + 5])
def test_a_line_that_is_too_long_is_left_out_and_its_neighbours_are_not(length: int) -> None:
    text = b"before\n" + b"x" * length + b"\nafter\n"
    assert list(read_lines(io.BytesIO(text))) == [b"before", None, b"after"]
    lines = Lines(io.BytesIO(text))
    blocks(lines)
    assert lines.position == len(text)
    assert lines.fingerprint() == (fingerprint(text[:FINGERPRINT], text[-FINGERPRINT:], len(text)), FINGERPRINT)


def test_a_line_of_a_hundred_million_octets_needs_no_memory() -> None:
    tracemalloc.start()
    try:
        lines = Lines(cast(IO[bytes], Endless(100_000_000)))
        found = b"".join(blocks(lines))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == b"before\n" + NUL + b"\nafter\n"
    assert lines.position == 100_000_000 + 14
    assert peak < 8 * files.BLOCK


@pytest.mark.parametrize(("name", "compress"), [("x", bytes), *PACKED.items()])
def test_a_log_is_read_from_a_position_on_whatever_compressed_it(tmp_path: Path, name: str, compress: object) -> None:
    assert callable(compress)
    (tmp_path / name).write_bytes(compress(TEXT[:5000]) + compress(TEXT[5000:]))
    with open_log(tmp_path / name) as log:
        assert log.size == (len(TEXT) if name == "x" else None)
        position = TEXT.index(b"line 700")
        lines = log.lines(position)
        assert b"".join(blocks(lines)) == TEXT[position:]
        assert lines.fingerprint() == (fingerprint(TEXT[:FINGERPRINT], TEXT[-FINGERPRINT:], len(TEXT)), FINGERPRINT)
        assert log.peek(10, 7) == TEXT[10:17]


@pytest.mark.parametrize("compress", PACKED.values())
def test_compressed_text_that_is_cut_off_is_told_from_one_that_ends(tmp_path: Path, compress: object) -> None:
    assert callable(compress)
    path = tmp_path / "x"
    path.write_bytes(compress(os.urandom(50_000).hex().encode() + b"\n")[:-20_000])
    with open_log(path) as log, pytest.raises(DAMAGE):
        blocks(log.lines(0))
    with open_log(path) as log, pytest.raises(RepzoneError, match="is cut off or damaged"):
        list(read_lines(log.text))


def test_what_is_no_log_is_said_with_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("none")
    (tmp_path / "circle").symlink_to("circle")
    for path, said in {
        tmp_path / "none": "none: cannot be read: No such file",
        tmp_path / "dangling": "dangling: cannot be read: No such file",
        tmp_path / "circle": "circle: cannot be read: Too many levels of symbolic links",
        tmp_path: "is no regular file",
        tmp_path / "fifo": "fifo: is no regular file",
    }.items():
        with pytest.raises(RepzoneError, match=said), open_log(path):
            pass
