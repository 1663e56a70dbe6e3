"""Tables of cases from tests/data/logs: a sample's text, what it must give, and a reader to feed it to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repzone.logs.join import OwnZones
from repzone.logs.reader import Reader
from repzone.model import Event, Hit, Traffic, Wait

DATA = Path(__file__).parents[1] / "data" / "logs"
OWN = OwnZones(("bl.example.net", "wl.example.net."), ("https://postmaster.example.net/?ip={client}",))
REFERENCE = int(datetime(2026, 11, 24, 7, 0, tzinfo=UTC).timestamp())
Wanted = list[str]


def load_jsonl(name: str) -> list[dict[str, Any]]:
    """Read a table with one JSON object a line."""
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def load_samples(name: str) -> list[tuple[str, str]]:
    """Read pairs of `REASON ADDRESS [COUNT]` (or `-`) and the message that must give it."""
    lines = [line for line in (DATA / name).read_text().splitlines() if line and not line.startswith("#")]
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    assert all(wanted.startswith("> ") for wanted, _ in pairs)
    return [(wanted[2:], message) for wanted, message in pairs]


def load_sessions(pattern: str = "sessions*.txt") -> list[tuple[str, list[str], Wanted]]:
    """Read blocks of every such file: a title, log lines, and what they must give in order."""
    blocks: list[tuple[str, list[str], Wanted]] = []
    files = sorted(DATA.glob(pattern))
    for text in (block for file in files for block in file.read_text().split("\n## ")[1:]):
        title, *rest = [line for line in text.splitlines() if line]
        lines = [put_header(*line.split(": ", 1)) for line in rest if not line.startswith("> ")]
        blocks.append((title, lines, [line[2:] for line in rest if line.startswith("> ")]))
    return blocks


def put_header(program: str, message: str) -> str:
    """Make a log line of a message; a bare `smtpd[1]` is Postfix'."""
    if program.startswith(("smtpd", "cleanup", "postscreen", "qmgr", "submission/", "25/", "dnsblog", "anvil")):
        program = f"postfix/{program}"
    return f"2026-11-23T10:00:00.5+01:00 mx1 {program}: {message}"


def new_reader() -> Reader:
    """Make a reader that knows our zones."""
    return Reader(UTC, OWN)


def write(line: int, outcome: Event | Hit | Traffic | Wait) -> str:
    """Write what came of a line as the tables do."""
    if isinstance(outcome, Hit):
        return f"{line} hit {outcome.client}"
    if isinstance(outcome, Traffic):
        return f"{line} traffic {outcome.client} {outcome.connections}/{outcome.messages}"
    if isinstance(outcome, Wait):
        return f"{line} {'closed' if outcome.closed else 'wait'} {outcome.client}"
    count = f" {outcome.count}" if outcome.count != 1 else ""
    return f"{line} {outcome.reason} {outcome.client}{count}"


def read_all(reader: Reader, lines: list[str], first: int = 1) -> Wanted:
    """Feed lines, and give what they gave as the tables write it; traffic and waits are looked at elsewhere."""
    return [text for text in read_whole(reader, lines, first) if text.split()[1] not in ("traffic", "wait", "closed")]


def read_whole(reader: Reader, lines: list[str], first: int = 1) -> Wanted:
    """Feed lines, and give all that they gave, clean traffic and greylist waits too."""
    found = []
    for number, line in enumerate(lines, first):
        for outcome in reader.read(line.encode("utf-8", "surrogateescape"), number, REFERENCE):
            assert isinstance(outcome, Traffic) or outcome.line == number
            found.append(write(number, outcome))
    return found


def check_line(wanted: str, line: str) -> None:
    """Assert that a whole log line alone gives what is wanted: `REASON ADDRESS [COUNT]`, or `-` for nothing."""
    found = read_all(new_reader(), [line])
    assert found == ([] if wanted == "-" else [f"1 {wanted}"])


def check_sample(program: str, wanted: str, message: str) -> None:
    """Assert that a message alone gives what is wanted."""
    found = read_all(new_reader(), [put_header(program, message)])
    assert found == ([] if wanted == "-" else [f"1 {wanted}"])
