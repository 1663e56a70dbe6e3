"""Split one log line into header and message; None when it is no syslog line (RFC 3164 §4, RFC 5424 §6, RFC 3339).

Also journald's JSON objects, docker's `name  | ` prefix, BSD's `<mail.info>` and Solaris' `[ID 123 mail.info]`. The
program's name counts only at its place, never where a client may have written it. Every pattern is linear.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from repzone.logs.stamp import Stamps


@dataclass(frozen=True, slots=True)
class Header:
    """Where, when and by whom a message was logged; `repeat` is how many times (`message repeated 3 times`)."""

    at: int  # whole UTC seconds, truncated
    host: str
    program: str
    pid: str  # "" when the line has none
    message: str
    repeat: int = 1


_ISO = r"(?P<minute>\d{4}-\d\d-\d\d[T ]\d\d:\d\d):(?P<second>\d\d)(?:[.,]\d{1,9})?+(?P<offset>[Zz]|[+-]\d\d:?\d\d)?+"
_BSD = r"(?P<minute>(?:\d{4} )?[A-Z][a-z]{2}  ?\d{1,2} \d\d:\d\d):(?P<second>\d\d)(?:[.,]\d{1,9})?+"
_WHO = (
    r" (?:<\w+\.\w+> )?(?P<host>[^\s\[\]]++) (?:<\w+\.\w+> )?(?P<program>[^\s\[\]:]++)(?:\[(?P<pid>\d{1,10})\])?+: ?+"
    r"(?:\[ID \d{1,10} \w+\.\w+\] )?+(?P<message>.*+)"
)
_STAMP = re.compile(_ISO)
_LINE_ISO = re.compile(_ISO + _WHO, re.DOTALL)
_LINE_BSD = re.compile(_BSD + _WHO, re.DOTALL)
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_LINE_5424 = re.compile(
    rf"1 {_ISO} (?P<host>\S++) (?P<program>\S++) (?P<pid>\S++) \S++ "
    rf'(?:-|(?:\[(?:[^\]"\\]++|{_QUOTED})*+\])++)(?: \ufeff?(?P<message>.*+))?',
    re.DOTALL,
)
_PRI = re.compile(r"<\d{1,3}>")
_DOCKER = re.compile(r"[\w.-]{1,128}+ *+\| ")
_REPEATED = re.compile(r"message repeated (\d{1,7}) times: \[ ?(.*)\]\s*", re.DOTALL)


def parse(line: str, stamps: Stamps, reference: int) -> Header | None:
    """Split a line; `stamps` holds the time zone of stamps without one, `reference` the instant near which it was
    written (see `stamp`). None when it is not of a known form.
    """
    first = line[:1]
    if first == "<":
        pri = _PRI.match(line)
        if pri is None:
            return None
        line = line[pri.end() :]
        if line.startswith("1 "):
            return _from_match(_LINE_5424.fullmatch(line), stamps, reference)
    elif first == "{":
        return _from_object(line, stamps)
    header = _from_text(line, stamps, reference)
    if header is None:
        docker = _DOCKER.match(line)
        if docker is not None:
            header = _from_text(line[docker.end() :], stamps, reference)
    return header


def _from_text(line: str, stamps: Stamps, reference: int) -> Header | None:
    pattern = _LINE_ISO if line[4:5] == "-" else _LINE_BSD
    return _from_match(pattern.fullmatch(line), stamps, reference)


def _from_match(match: re.Match[str] | None, stamps: Stamps, reference: int) -> Header | None:
    if match is None:
        return None
    fields = match.groupdict(default="")
    if "offset" in fields:
        at = stamps.from_iso(fields["minute"], fields["second"], fields["offset"])
    else:
        at = stamps.from_rfc3164(fields["minute"], fields["second"], reference)
    if at is None:
        return None
    pid = fields["pid"]
    return _header(at, fields["host"], fields["program"], "" if pid == "-" else pid, fields["message"])


def _header(at: int, host: str, program: str, pid: str, message: str) -> Header:
    if message.startswith("message repeated "):
        repeated = _REPEATED.fullmatch(message)
        if repeated is not None:
            return Header(at, host, program, pid, repeated[2], max(1, int(repeated[1])))
    return Header(at, host, program, pid, message)


def _from_object(line: str, stamps: Stamps) -> Header | None:
    entry = load_object(line)
    if entry is None:
        return None
    return _from_journald(entry) if "__REALTIME_TIMESTAMP" in entry else _from_report(entry, line, stamps)


def _from_journald(entry: dict[str, Any]) -> Header | None:
    """Read one object of `journalctl -o json`; MESSAGE is text, or an array of bytes when it is not printable."""
    stamp, message, program = entry["__REALTIME_TIMESTAMP"], entry.get("MESSAGE"), entry.get("SYSLOG_IDENTIFIER")
    if isinstance(message, list):
        try:
            message = bytes(message).decode()
        except (TypeError, ValueError):
            return None
    if not (isinstance(stamp, str) and stamp.isascii() and stamp.isdigit() and len(stamp) < 20):
        return None
    if not isinstance(message, str) or not isinstance(program, str):
        return None
    pid, host = entry.get("SYSLOG_PID") or entry.get("_PID") or "", entry.get("_HOSTNAME") or ""
    return _header(int(stamp) // 1_000_000, str(host), program, str(pid), message)


def _from_report(entry: dict[str, Any], line: str, stamps: Stamps) -> Header | None:
    """Read an object that a program wrote itself, with its name in `type`: the whole of it is the message."""
    program, stamp, unix = entry.get("type"), entry.get("@timestamp"), entry.get("time_unix")
    at: int | None = None
    if isinstance(unix, int | float) and 0 <= unix < 1 << 40:
        at = int(unix)
    elif isinstance(stamp, str) and (match := _STAMP.fullmatch(stamp)):
        at = stamps.from_iso(match["minute"], match["second"], match["offset"] or "")
    if at is None or not isinstance(program, str):
        return None
    return Header(at, str(entry.get("host") or ""), program, "", line)


def load_object(text: str) -> dict[str, Any] | None:
    """Read one JSON object; None when it is none, however deep or wrong it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
