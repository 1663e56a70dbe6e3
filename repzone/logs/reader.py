"""The lines of one log in, events and hits out: header, component, join. What it holds between lines can be dumped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from repzone.logs import components, syslog
from repzone.logs.join import Outcome, OwnZones, State, join
from repzone.logs.stamp import Stamps

LONGEST = 65_536  # octets; a longer line is an attack or no log
_PROGRAMS = 1024


class Reader:
    """Reads one log in order. `lines`, `skipped` and `unmatched` count since it was made."""

    def __init__(self, zone: tzinfo, own: OwnZones | None = None, dumped: Mapping[str, Any] | None = None) -> None:
        """Take the time zone of stamps without one, our zones, and what `dump` gave after the line before."""
        self.lines = 0  # all
        self.skipped = 0  # too long, with NUL, or not UTF-8
        self.unmatched = 0  # of no known form, so that not even the program is known
        self._own = own or OwnZones()
        self._stamps = Stamps(zone)
        self._state = State.load(dumped) if dumped else State()
        self._parsers: dict[str, components.Parse | None] = {}

    def read(self, line: bytes, number: int, reference: int) -> Outcome:
        """Give what the line completes; `number` is its number in its source, `reference` the instant near which it
        was written (a file's time), from which stamps without year take theirs.
        """
        self.lines += 1
        if len(line) > LONGEST or b"\0" in line:
            self.skipped += 1
            return ()
        try:
            text = line.rstrip(b"\r\n").decode()
        except UnicodeDecodeError:
            self.skipped += 1
            return ()
        header = syslog.parse(text, self._stamps, reference)
        if header is None:
            self.unmatched += 1
            return ()
        try:
            parse = self._parsers[header.program]
        except KeyError:
            parse = self._find(header.program)
        fact = parse(header) if parse is not None else None
        return join(self._state, fact, self._own, number) if fact is not None else ()

    def dump(self) -> dict[str, Any]:
        """Give what must be kept for the lines to come, as JSON can hold it."""
        return self._state.dump()

    def _find(self, program: str) -> components.Parse | None:
        if len(self._parsers) >= _PROGRAMS:
            self._parsers.clear()
        parse = self._parsers[program] = components.find(program)
        return parse
