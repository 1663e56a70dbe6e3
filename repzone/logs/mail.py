"""The octets of one mail in; its header fields, its parts and the instants of its dates out.

A mail of a spool is anybody's text. `email` reads it in a time that grows with lines times depth, and its header
parser has faults of its own; here everything is bounded and linear, and only what is asked for is read. What lies in
a part of type message/* is somebody else's mail and never looked into.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_tz

LARGEST = 10 * 1024 * 1024
"""Octets of the largest mail that is read."""

_HEAD = 256 * 1024  # octets of a header
_DEPTH = 5  # of parts in parts
_PARTS = 50
_YEARS = range(1990, 2100)  # a stamp outside is a fault

_END_OF_HEAD = re.compile(rb"\A\r?\n|\r?\n\r?\n")
_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}")
_PARAMETER = re.compile(r';\s*([\w-]{1,40})\s*=\s*(?:"([^"\\]*+)"|([^\s;"]++))')


class MailError(ValueError):
    """A mail that cannot be used; the message is one line that names what is missing."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has no parts: type in lower case, file name ("" without), text as sent, and its encoding."""

    type: str
    name: str
    encoding: str
    body: bytes

    def decode(self) -> bytes:
        """Undo the transfer encoding; MailError when it is broken (RFC 2045 §6)."""
        if self.encoding == "base64":
            try:
                return binascii.a2b_base64(self.body)
            except binascii.Error as error:
                raise MailError(f"its {self.type} part is no base64: {error}") from None
        return binascii.a2b_qp(self.body) if self.encoding == "quoted-printable" else self.body


def split(mail: bytes) -> tuple[bytes, bytes]:
    """Split a mail or a part into header and body; MailError when either is too large."""
    if len(mail) > LARGEST:
        raise MailError(f"is larger than {LARGEST // 1024 // 1024} MiB")
    end = _END_OF_HEAD.search(mail, 0, _HEAD)
    if end is not None:
        return mail[: end.start()], mail[end.end() :]
    if len(mail) > _HEAD:
        raise MailError(f"its header is longer than {_HEAD // 1024} KiB")
    return mail, b""


def fields(head: bytes) -> Iterator[tuple[str, str]]:
    """Yield the fields of a header from the top: name in lower case, value unfolded, white space as one blank."""
    lines: list[bytes] = []
    for line in [*head.split(b"\n"), b""]:
        if line[:1] in (b" ", b"\t"):
            lines.append(line)
            continue
        name, colon, value = b" ".join(lines).partition(b":")
        if colon:
            yield name.strip().lower().decode("ascii", "replace"), b" ".join(value.split()).decode("utf-8", "replace")
        lines = [line]


def first_fields(head: bytes) -> dict[str, str]:
    """Give each field's first value."""
    found: dict[str, str] = {}
    for name, value in fields(head):
        found.setdefault(name, value)
    return found


def parts(mail: bytes) -> Iterator[Part]:
    """Yield the parts that have no parts, from the top; MailError when there are too many, or too deep ones."""
    for number, part in enumerate(_walk(mail, 0)):
        if number >= _PARTS:
            raise MailError(f"has more than {_PARTS} parts")
        yield part


def _walk(data: bytes, depth: int) -> Iterator[Part]:
    if depth > _DEPTH:
        raise MailError(f"its parts are nested deeper than {_DEPTH}")
    head, body = split(data)
    found = first_fields(head)
    described = found.get("content-type", "")[:2000]
    match = _TYPE.match(described)
    type_ = match[0].lower() if match else "text/plain"
    parameters = _parameters(described)
    if type_.startswith("multipart/") and "boundary" in parameters:
        for part in _cut(body, parameters["boundary"].encode("utf-8", "replace")):
            yield from _walk(part, depth + 1)
        return
    disposed = _parameters(found.get("content-disposition", "")[:2000])
    name = disposed.get("filename") or parameters.get("name", "")
    yield Part(type_, name.lower(), found.get("content-transfer-encoding", "").lower(), body)


def _parameters(value: str) -> dict[str, str]:
    return {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(value)}


def _cut(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """Cut at the delimiter lines (RFC 2046 §5.1.1); what is before the first and behind the last is no part."""
    delimiter = re.compile(rb"(?:\A|\n)--" + re.escape(boundary) + rb"(--)?[ \t]*+\r?(?:(?=\n)|\Z)")
    begin = None
    for match in delimiter.finditer(body):
        if begin is not None:
            yield body[begin : match.start()]
        if match[1]:
            return
        begin = match.end() + 1
    if begin is not None:
        yield body[begin:]


def instant(text: str) -> int | None:
    """Read a date in the forms of RFC 5322 §3.3 or RFC 3339 as UTC seconds; None when it is none."""
    text = text.strip()[:100]
    try:
        if text[4:5] == "-":
            at = datetime.fromisoformat(re.sub(r" (?=[+-]\d\d:?\d\d\Z)", "", text))
            if at.tzinfo is None:
                return None
        else:
            told = parsedate_tz(text)
            if told is None:
                return None
            year, month, day, hour, minute, second = told[:6]
            zone = timezone(timedelta(seconds=told[9] or 0))
            at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
        return int(at.timestamp() // 1) if at.year in _YEARS else None
    except (ValueError, OverflowError, IndexError, TypeError):  # parsedate_tz lets some of them through
        return None
