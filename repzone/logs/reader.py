"""The lines of one log in, events and hits out: header, component, join. What it holds between lines can be dumped."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from functools import partial
from itertools import groupby
from typing import Any

from repzone.logs import components, postfix_reply, syslog, table
from repzone.logs.fact import parse_client
from repzone.logs.join import GREYLISTED, Outcome, OwnZones, join
from repzone.logs.shapes import shape
from repzone.logs.skim import Found, skim
from repzone.logs.stamp import Stamps
from repzone.logs.state import State, is_reserved
from repzone.logs.syslog import Header
from repzone.model import Client, Event, Traffic, Wait

LONGEST = 65_536  # octets; a longer line is an attack or no log
_STRETCH = LONGEST // 2  # a line that is longer than LONGEST holds one of these wholly
_PROGRAMS = 1024
_TAGS = 20_000
_STAMPS = 5_000
_LOOKS = 10
_FAULTS = 20
_USUAL = re.compile(
    r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?>(?:\.\d{1,9})?)(Z|[+-]\d\d:\d\d|)(?= )"
)


Tag = tuple[str, str, components.Parse | None]
"""Host, program and its parser, of lines that begin with `HOST PROGRAM` or `HOST PROGRAM[PID]`."""

_PID = re.compile(r"\d{1,10}\]")
_ODD = ("message repeated ", "[ID ")


class _Instants(dict[tuple[str, str], int | None]):
    """Stamps as most lines have them (to the second, and offset), and their instants; None for none. Bounded.

    Of a local time that comes twice none is kept: what it means changes.
    """

    def __init__(self, stamps: Stamps) -> None:
        super().__init__()
        self.reference = 0
        self._stamps = stamps

    def __missing__(self, stamp: tuple[str, str]) -> int | None:
        self._stamps.twice = False
        header = syslog.parse(f"{stamp[0]}{stamp[1]} host program:", self._stamps, self.reference)
        at = header.at if header is not None else None
        if not self._stamps.twice:
            if len(self) >= _STAMPS:
                self.clear()
            self[stamp] = at
        return at


class Reader:
    """Reads one log in order. `lines`, `skipped` and `unmatched` count since it was made.

    A line that makes a parser of ours raise is skipped. `faults` tells of each such place in our code once, with the
    line's shape and not its text, for a log to be made of it.
    """

    def __init__(
        self,
        zone: tzinfo,
        own: OwnZones | None = None,
        dumped: Mapping[str, Any] | None = None,
        key: bytes = b"",
        find: Callable[[str], components.Parse | None] = components.find,
    ) -> None:
        """Take the time zone of stamps without one, our zones, what `dump` gave after the line before, the key that
        envelope addresses are hashed with, and what knows a program's parser.
        """
        self.lines = 0  # all
        self.skipped = 0  # too long, with NUL, not UTF-8, or more than our own code could take
        self.unmatched = 0  # of no known form, so that not even the program is known
        self.newest: int | None = None  # the newest stamp of all lines that have one
        self.faults: list[str] = []
        self._own = own or OwnZones()
        self._stamps = Stamps(zone, dumped.get("reached") if dumped else None)
        self._state = State.load(dumped, key) if dumped else State(key)
        self._find_parser = find
        self._parsers: dict[str, components.Parse | None] = {}
        # What the beginning of a line says, for those that are written the usual way and were read before.
        self._reference = 0
        self._instants = _Instants(self._stamps)
        self._tags: dict[str, Tag] = {}
        self._skimmer = self._make_skimmer() if find is components.find else None

    def read(self, line: bytes, number: int, reference: int) -> Outcome:
        """Give what the line completes; `number` is its number in its source, `reference` the instant near which it
        was written (a file's time), from which stamps without year take theirs.
        """
        text = _decode(line)
        self.lines += 1
        self._stamps.until = reference
        if text is None:
            self.skipped += 1
            return ()
        try:
            return self._read(text, number, reference)
        except Exception as error:  # our own bug: this line is lost, the next one is not
            return self._note_fault(error, text)

    def read_block(self, block: bytes, number: int, reference: int) -> Found:
        """Give what the whole lines of a block complete, of which the first has that number: the same as `read` line
        by line, but much faster, and with clean traffic added up a client and hour.
        """
        if reference != self._reference:
            self._reference = self._instants.reference = self._stamps.until = reference
            self._instants.clear()
        if self._skimmer is not None:
            found, lines, skipped = self._skimmer.skim(block, number, self._read_known, self._read_tagged)
            self.lines += lines
            self.skipped += skipped
            self._see(block)
            return found
        found = []
        for text, lines in _decode_block(block):
            self.lines += lines
            if text is None:
                self.skipped += lines
            else:
                found += self._read_text(text, number)
            number += lines
        self._see(block)
        return found

    def note_end(self, at: int) -> None:
        """Note that what was written before this instant has been read, to the end of the log."""
        self._stamps.since = at

    def dump(self) -> dict[str, Any]:
        """Give what must be kept for the lines to come, as JSON can hold it."""
        reached = self._stamps.reached
        return self._state.dump() | ({} if reached is None else {"reached": reached})

    def _read_text(self, text: str, number: int) -> Found:
        if self._find_parser is components.find:
            return skim(text, number, self._state, self._instants, self._read_known)
        found: Found = []  # only one component is wanted, and the skimmer knows several
        for number, line in enumerate(text.removesuffix("\n").split("\n"), number):  # noqa: B020 - counts on
            found += self._read_known(line, number)
        return found

    def _read(self, text: str, number: int, reference: int) -> Outcome:
        return self._join(syslog.parse(text, self._stamps, reference), number)

    def _join(self, header: Header | None, number: int) -> Outcome:
        if header is None:
            self.unmatched += 1
            return ()
        if header.at > (self.newest or 0):
            self.newest = header.at
        parse = self._find(header.program)
        fact = parse(header) if parse is not None else None
        return join(self._state, fact, self._own, number) if fact is not None else ()

    def _find(self, program: str) -> components.Parse | None:
        try:
            return self._parsers[program]
        except KeyError:
            if len(self._parsers) >= _PROGRAMS:
                self._parsers.clear()
            parse = self._parsers[program] = self._find_parser(program)
            return parse

    def _read_known(self, line: str, number: int) -> Outcome:
        """Read a line, whose beginning is likely one that was read before."""
        try:
            return self._read_line(line, number)
        except Exception as error:  # our own bug: this line is lost, the next one is not
            return self._note_fault(error, line)

    def _read_line(self, line: str, number: int) -> Outcome:
        space = line.find(" ", 15)
        colon = line.find(": ", space)
        text, bracket, pid = line[space + 1 : colon].partition("[")
        tag = self._tags.get(text)
        message = line[colon + 2 :]
        if tag is None or (bracket and not _PID.fullmatch(pid)) or message.startswith(_ODD):
            return self._learn(line, space, colon, number)
        usual = _USUAL.match(line)
        at = self._instants[usual[1], usual[2]] if usual is not None else None
        if at is None:
            return self._read(line, number, self._reference)
        return self._read_tagged(at, tag, pid[:-1], message, number)

    def _read_tagged(self, at: int, tag: Tag, pid: str, message: str, number: int) -> Outcome:
        """Read a message of a program that has a parser."""
        host, program, parse = tag
        try:
            fact = parse(Header(at, host, program, pid, message)) if parse is not None else None
            return join(self._state, fact, self._own, number) if fact is not None else ()
        except Exception as error:  # our own bug: this line is lost, the next one is not
            return self._note_fault(error, f"{program}: {message}")

    def _note_fault(self, error: Exception, text: str) -> Outcome:
        """Note that our own code could not take a line; MemoryError is none of its faults."""
        if isinstance(error, MemoryError):
            raise error
        self.skipped += 1
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}"
        if len(self.faults) < _FAULTS and not any(fault.startswith(f"our own bug, {place}, ") for fault in self.faults):
            self.faults.append(f"our own bug, {place}, at a line of the shape: {shape(text)}")
        return ()

    def _learn(self, line: str, space: int, colon: int, number: int) -> Outcome:
        """Read a line, and keep what its beginning says if it is written the usual way: stamp, host, program, pid."""
        header = syslog.parse(line, self._stamps, self._reference)
        if header is not None and header.message == line[colon + 2 :]:
            tag = f"{header.host} {header.program}"
            pid = f"[{header.pid}]" if header.pid else ""
            usual = _USUAL.match(line)
            if line[space + 1 : colon] == tag + pid and usual is not None and usual.end() == space:
                if len(self._tags) >= _TAGS:
                    self._tags.clear()
                self._tags[tag] = (header.host, header.program, self._find(header.program))
        return self._join(header, number)

    def _see(self, block: bytes) -> None:
        """Note how far in time the log has been read: to the last line of a block that has a stamp."""
        begin = block.find(b"\n", len(block) - _STRETCH) + 1 if len(block) > _STRETCH else 0
        for line in reversed(block[begin:].split(b"\n")[-_LOOKS:]):
            text = _decode(line)
            header = syslog.parse(text, self._stamps, self._reference) if text is not None else None
            if header is not None:
                self.newest = max(header.at, self.newest or 0)
                return

    def _make_skimmer(self) -> table.Skimmer | None:
        if table.compiled is None:
            return None
        state = self._state
        tables = state.sessions, state.messages, state.gone, state.mids, state.attempts
        told = Event, Wait, Traffic
        rest = state.owed, self._instants, self._tags, partial(_judge, self._own), _know, told
        skimmer: table.Skimmer = table.compiled.Skimmer(state.key, tables, *rest)
        return skimmer


def _judge(own: OwnZones, stage: str, code: str, dsn: str, text: str) -> tuple[str, str] | None:
    """Give reason and detail of a refusal by smtpd, None where more than these counts (see _skim.pyi)."""
    reply = postfix_reply.read(code, dsn, text)
    reason = postfix_reply.reason(reply, stage)
    if not reason or reason in GREYLISTED or stage == "AUTH" or own.names(reply.server_written):
        return None
    return reason, f"reject {stage}: {reply.detail}"


def _know(client: str) -> tuple[Client | None, bool]:
    """Give an address, None when it is none, and whether it is nobody who could be listed."""
    return parse_client(client), is_reserved(client)


def _decode(line: bytes) -> str | None:
    """Give the text of a line; None for one that is too long, has a NUL, or is not UTF-8."""
    if len(line) > LONGEST or b"\0" in line:
        return None
    try:
        return line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        return None


def _decode_block(block: bytes) -> Iterator[tuple[str | None, int]]:
    """Yield runs of whole lines, each with its end, that are fit to be read, and None for each that is not, with the
    number of lines.
    """
    if b"\0" not in block and b"\r" not in block:
        try:
            text = block.decode()
        except UnicodeDecodeError:
            pass
        else:
            if all(block.find(b"\n", at, at + _STRETCH) >= 0 for at in range(0, len(block) - _STRETCH, _STRETCH)):
                yield text, text.count("\n")
                return
    lines = [_decode(line) for line in block.removesuffix(b"\n").split(b"\n")]
    for fit, run in groupby(lines, lambda line: line is not None):
        texts = list(run)
        if fit:
            yield "".join(f"{line}\n" for line in texts), len(texts)
        else:
            yield None, len(texts)
