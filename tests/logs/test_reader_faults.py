"""A parser of ours that raises in, the lines before and behind it read as ever."""

from __future__ import annotations

from datetime import UTC

import pytest

from repzone.logs import components
from repzone.logs.fact import Fact
from repzone.logs.reader import Reader
from repzone.logs.syslog import Header
from repzone.model import Event
from tests.logs.samples import OWN, REFERENCE, put_header

NOTE_FAULT = Reader._note_fault  # before the tests of this folder do without it
LOST = put_header("smtpd[1]", "lost connection after RCPT from x[192.0.2.7]")
SAID = "what-somebody-chose"


def _break(header: Header) -> Fact | None:
    raise ValueError(SAID)


def _break_for_lack_of_memory(header: Header) -> Fact | None:
    raise MemoryError


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks the parser of rspamd."""
    monkeypatch.setattr(Reader, "_note_fault", NOTE_FAULT)
    find = components.find
    monkeypatch.setattr(components, "find", lambda program: _break if program == "rspamd" else find(program))


def _reader() -> Reader:
    return Reader(UTC, OWN, find=components.find)


@pytest.mark.usefixtures("way", "broken")
@pytest.mark.parametrize("whole", [True, False])
def test_a_line_that_our_own_code_cannot_take_is_skipped_and_told_of_once(whole: bool) -> None:
    bad = [put_header("rspamd[7]", f"<abc{number}>; user {SAID} from 192.0.2.9") for number in range(3)]
    lines = [LOST, *bad, f"<22>{bad[0]}", LOST.replace(".7]", ".8]")]
    reader = _reader()
    if whole:
        found = list(reader.read_block("".join(f"{line}\n" for line in lines).encode(), 1, REFERENCE))
    else:
        found = [told for number, line in enumerate(lines, 1) for told in reader.read(line.encode(), number, REFERENCE)]
    assert [told.line for told in found if isinstance(told, Event)] == [1, 6]
    assert (reader.lines, reader.skipped) == (6, 4)
    (fault,) = reader.faults
    assert fault.startswith("our own bug, ValueError at test_reader_faults.py:")
    assert "<ip>" in fault
    assert SAID not in fault


@pytest.mark.usefixtures("way", "broken")
def test_a_lack_of_memory_is_no_line_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "find", lambda program: _break_for_lack_of_memory)
    with pytest.raises(MemoryError):
        _reader().read(put_header("rspamd[7]", "<abc>; x").encode(), 1, REFERENCE)
    with pytest.raises(MemoryError):
        _reader().read_block(put_header("rspamd[7]", "<abc>; x").encode() + b"\n", 1, REFERENCE)
