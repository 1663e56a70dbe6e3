"""Blocks of log lines by number: the frequent forms, of few clients and messages, and what hardly differs from them.

`compare` reads one by the compiled skimmer and by Python alone, line by line, and asserts that they tell the same and
remember the same. `python -m tests.logs.blocks FOLDER BLOCKS` does so with the module in that folder, for sanitizers.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from repzone.logs import state, table
from repzone.logs.reader import Reader
from repzone.model import Event, Hit, Traffic, Wait
from tests.logs.samples import DATA, OWN, REFERENCE

Told = Event | Hit | Traffic | Wait
LONG = 66_000
BEGIN = REFERENCE - 50_000

FORMS = (DATA / "frequent.txt").read_text().splitlines()
CLIENTS = ("192.0.2.7", "192.0.2.9", "2001:db8::7", "::ffff:192.0.2.7", "10.1.2.3", "999.0.2.7", "127.0.0.1", "::1")
PLACES = {
    "pid": ("7", "7", "8", "9"),
    "client": (*CLIENTS, *CLIENTS[:3] * 3),
    "queue": ("4F2A1B0C9D", "4F2A1B0C9E", "4F2A1B0C9F", "NOQUEUE"),
    "few": ("0", "1", "2", "3"),
    "stage": ("AUTH", "AUTH", "CONNECT", "RCPT", "DATA", "BDAT", "END-OF-MESSAGE", "STARTTLS"),
}
PIECES = (
    *(" ", ": ", "; ", ", ", "<", ">", "[", "]", "(", ")", "=", "/", ".", ">: ", "; from=<", " from ", "rip=", "\t"),
    *("\x1c", "é", "\x7f", "\0", "\r", "\ud800", "192.0.2.9", "[192.0.2.9]", "auth=0/2", "unknown=0/1", "%eth0"),
    *("4F2A1B0C9D: ", ", Queue-ID: 4F2A1B0C9D", "] blocked using ", "0", "9" * 12, "x" * 300, "sasl_username=<u>"),
    *("postfix/smtpd[7]: ", "mx1 ", "  ", "IPv6:", ":25", "client=", "message-id=<", "Outbound"),
    "message repeated 2 times: [",
)


def make_line(dice: Random, at: int) -> bytes:
    """Make a line of that instant."""
    message = dice.choice(FORMS)
    for name, values in PLACES.items():
        while (place := f"{{{name}}}") in message:
            message = message.replace(place, dice.choice(values), 1)
    moment = datetime.fromtimestamp(at, UTC)
    stamp = dice.choice(
        (f"{moment:%b %e %T}",) * 3 + (f"{moment:%FT%T}.25+00:00", f"{moment:%FT%T}Z", f"{moment:%FT%T}")
    )
    line = f"{stamp} {dice.choice(('mx1', 'mx1', 'mx2'))} {message}"
    for _ in range(dice.choice((0, 0, 0, 0, 0, 1, 1, 2))):
        line = _mutate(dice, line)
    if dice.random() < 0.002:
        line += "x" * LONG
    return line.encode("utf-8", "surrogatepass").replace(b"\n", b" ")


def _mutate(dice: Random, line: str) -> str:
    start, length = dice.randrange(len(line) + 1), dice.choice((0, 0, 1, 1, 2, 5))
    what = dice.choice((*PIECES, "", "", line[start : start + dice.randrange(40)]))
    return line[:start] + what + line[start + length :]


def make_lines(dice: Random) -> list[bytes]:
    """Make a short log, mostly in order of time."""
    at, lines = BEGIN, []
    for _ in range(dice.randrange(2, 120)):
        at += dice.choice((0, 0, 0, 1, 1, 5, 30, 60, 200, 3_600, -90))
        lines.append(make_line(dice, at))
    return lines


@contextmanager
def plain() -> Iterator[None]:
    """Let readers that are made now do without the compiled skimmer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "compiled", None)
        yield


def compare(number: int) -> int:
    """Read the block of that number line by line without the compiled skimmer, and as readers are made now; give how
    many lines it has.
    """
    dice = Random(number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "LIMIT", dice.choice((1, 3, 5_000)))
        lines = make_lines(dice)
        compare_lines(dice, lines)
    return len(lines)


def compare_lines(dice: Random, lines: list[bytes]) -> None:
    """Read lines in both ways."""
    key = dice.choice((b"", b"k" * 32))
    with plain():
        slow = Reader(UTC, OWN, key=key)
    _compare(dice, lines, slow, Reader(UTC, OWN, key=key), key)


def _compare(dice: Random, lines: list[bytes], slow: Reader, quick: Reader, key: bytes) -> None:
    wanted = [told for number, line in enumerate(lines, 1) for told in slow.read(line, number, REFERENCE)]
    found: list[Told] = []
    done = 0
    while done < len(lines):
        size = dice.randrange(1, len(lines) - done + 1)
        given = lines[done : done + size]
        if dice.random() < 0.1:
            found += [
                told for number, line in enumerate(given, done + 1) for told in quick.read(line, number, REFERENCE)
            ]
        else:
            found += quick.read_block(b"".join(line + b"\n" for line in given), done + 1, REFERENCE)
        done += size
        if dice.random() < 0.2:
            counts = quick.lines, quick.skipped, quick.unmatched
            quick = Reader(UTC, OWN, json.loads(json.dumps(quick.dump())), key)
            quick.lines, quick.skipped, quick.unmatched = counts
    assert add_up(found) == add_up(wanted)
    assert json.dumps(quick.dump()) == json.dumps(slow.dump())
    assert (quick.lines, quick.skipped, quick.unmatched) == (slow.lines, slow.skipped, slow.unmatched)


def add_up(found: Iterable[Told]) -> tuple[list[object], Counter[tuple[object, ...]]]:
    """Part what was found: all but traffic in its order, traffic added up a client and hour."""
    traffic: Counter[tuple[object, ...]] = Counter()
    others: list[object] = []
    for what in found:
        if isinstance(what, Traffic):
            hour = what.at // 3600
            traffic[what.client, hour, "connections"] += what.connections
            traffic[what.client, hour, "messages"] += what.messages
        else:
            others.append(what)
    return others, +traffic


def _load(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("repzone.logs._skim", next(folder.glob("_skim*.so")))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    table.compiled = _load(Path(sys.argv[1]))
    print(sum(map(compare, range(int(sys.argv[2])))))
