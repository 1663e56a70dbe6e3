"""Tables of cases from tests/data/logs: a sample's text, what it must give, and a reader to feed it to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repzone.logs.join import OwnZones
from repzone.logs.reader import Reader
from repzone.model import Event, Hit

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


def load_sessions(name: str) -> list[tuple[str, list[str], Wanted]]:
    """Read blocks: a title, log lines, and what they must give in order."""
    blocks: list[tuple[str, list[str], Wanted]] = []
    for text in (DATA / name).read_text().split("\n## ")[1:]:
        title, *rest = [line for line in text.splitlines() if line]
        lines = [put_header(*line.split(": ", 1)) for line in rest if not line.startswith("> ")]
        blocks.append((title, lines, [line[2:] for line in rest if line.startswith("> ")]))
    return blocks


def put_header(program: str, message: str) -> str:
    """Make a log line of a message; a bare `smtpd[1]` is Postfix'."""
    if not program.startswith("amavis"):
        program = f"postfix/{program}"
    return f"2026-11-23T10:00:00.5+01:00 mx1 {program}: {message}"


def new_reader() -> Reader:
    """Make a reader that knows our zones."""
    return Reader(UTC, OWN)


def write(line: int, outcome: Event | Hit) -> str:
    """Write an event or a hit as the tables do."""
    if isinstance(outcome, Hit):
        return f"{line} hit {outcome.client}"
    count = f" {outcome.count}" if outcome.count != 1 else ""
    return f"{line} {outcome.reason} {outcome.client}{count}"


def read_all(reader: Reader, lines: list[str], first: int = 1) -> Wanted:
    """Feed lines, and give what they gave as the tables write it."""
    found = []
    for number, line in enumerate(lines, first):
        for outcome in reader.read(line.encode(), number, REFERENCE):
            assert outcome.line == number
            found.append(write(number, outcome))
    return found


def check_sample(program: str, wanted: str, message: str) -> None:
    """Assert that a message alone gives what is wanted."""
    found = read_all(new_reader(), [put_header(program, message)])
    assert found == ([] if wanted == "-" else [f"1 {wanted}"])
