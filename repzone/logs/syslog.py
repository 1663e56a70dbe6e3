"""Split one log line into header and message; None when it is no log line (RFC 3164 §4, RFC 5424 §6, RFC 3339).

Also journald's JSON objects, docker's `name  | ` prefix, BSD's `<mail.info>` and Solaris' `[ID 123 mail.info]`, and
the logs that Dovecot, Exim, Haraka, nginx and rspamd write themselves, with no program in them: the form tells which.
The program's name counts only at its place, never where a client may have written it. Every pattern is linear.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from repzone.logs.stamp import Stamps


@dataclass(slots=True)  # not frozen: one is made for almost every line
class Header:
    """Where, when and by whom a message was logged; `repeat` is how many times (`message repeated 3 times`)."""

    at: int  # whole UTC seconds, truncated
    host: str
    program: str
    pid: str  # "" when the line has none
    message: str
    repeat: int = 1


_ISO = (
    r"(?P<minute>\d{4}-\d\d-\d\d[T ]\d\d:\d\d):(?P<second>\d\d)(?>(?:[.,]\d{1,9})?)"
    r"(?>(?P<offset>[Zz]| ?[+-]\d\d:?\d\d)?)"
)
_BSD = r"(?P<minute>(?:\d{4} )?[^\W\d_]{3,5}\.?  ?\d{1,2} \d\d:\d\d):(?P<second>\d\d)(?>(?:[.,]\d{1,9})?)"
_WHO = (
    r" (?:<\w+\.\w+> )?(?>(?:(?P<host>[^\s\[\]()<>]++)(?<!:) )?)(?:<\w+\.\w+> )?(?P<program>[^\s\[\]:()<>]++)"
    r"(?>(?:\[(?P<pid>\d{1,10})\])?): ?+(?>(?:\[ID \d{1,10} \w+\.\w+\] )?)(?P<message>.*+)"
)
_STAMP_ISO = re.compile(_ISO)
_STAMP_BSD = re.compile(_BSD)
_LINE_ISO = re.compile(_ISO + _WHO, re.DOTALL)
_LINE_BSD = re.compile(_BSD + _WHO, re.DOTALL)
_QUOTED = r'"(?>(?:[^"\\]++|\\.)*)"'
_LINE_5424 = re.compile(
    rf"1 {_ISO} (?P<host>\S++) (?P<program>\S++) (?P<pid>\S++) \S++ "
    rf'(?:-|(?>(?:\[(?>(?:[^\]"\\]++|{_QUOTED})*)\])+))(?: \ufeff?(?P<message>.*+))?',
    re.DOTALL,
)
_PRI = re.compile(r"<\d{1,3}>")
_DOCKER = re.compile(r"[\w.-]{1,128}+ *+\| ")
_TAI = re.compile(r"@40000000(?P<seconds>[0-9a-f]{8})(?P<nano>[0-9a-f]{8})(?= )")
_TAI_OFFSET = 10  # seconds that djb's clock is ahead of ours (tai_now.c)
_WHO_ALONE = re.compile(_WHO, re.DOTALL)

# What Dovecot, Exim and the like put behind the stamp in a log of their own.
_DOVECOT = r"(?:auth(?:-worker)?|(?:imap|pop3|managesieve|sieve|submission|lmtp)(?:-login)?|dovecot-auth)"
_DOVECOT_SERVICE = re.compile(_DOVECOT)
_OWN = (
    ("dovecot", re.compile(rf" (?P<message>{_DOVECOT}(?:[(<]|: ).*+)", re.DOTALL)),
    ("rspamd", re.compile(r" #(?P<pid>\d{1,10})\([\w-]++\) (?P<message><.*+)", re.DOTALL)),
    ("haraka", re.compile(r" (?P<message>\[[A-Z]{4,8}\] \[[\w.-]++\] \[.*+)", re.DOTALL)),
)
_EXIM = re.compile(r" (?>(?:\[(?P<pid>\d{1,10})\] )?)(?P<message>.*+)", re.DOTALL)
_EXIM_LEAD = re.compile(r" (?:\[\d{1,10}\] |\w{6}-\w{6,11}-\w{2,4} )")
_EXIM_SYSLOG = re.compile(rf"(?P<host>[^\s\[\]()<>:]++) (?P<program>exim\d?)\[(?P<pid>\d{{1,10}})\]: {_ISO}(?= )")
_NGINX = re.compile(
    r"(?P<date>\d{4}/\d\d/\d\d) (?P<time>\d\d:\d\d):(?P<second>\d\d) \[\w++\] (?P<pid>\d{1,10})#\d{1,10}: "
    r"(?P<message>\*.*+)",
    re.DOTALL,
)
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
    elif first == "@":
        return _from_tai(line)
    header = _from_text(line, stamps, reference)
    if header is None:
        docker = _DOCKER.match(line)
        if docker is not None:
            header = _from_text(line[docker.end() :], stamps, reference)
    return header


def _from_text(line: str, stamps: Stamps, reference: int) -> Header | None:
    iso = line[4:5] == "-"
    if iso and line[10:11] == " ":  # Exim's way, and Dovecot's; hardly any syslog's
        match = _STAMP_ISO.match(line)
        if match is not None and _EXIM_LEAD.match(line, match.end()):
            return _from_own(line, match, stamps, reference)
    match = (_LINE_ISO if iso else _LINE_BSD).fullmatch(line)
    if match is not None:
        return _from_match(match, stamps, reference)
    if line[4:5] == "/":
        return _from_nginx(line, stamps)
    match = (_STAMP_ISO if iso else _STAMP_BSD).match(line)
    if match is None:
        match = _EXIM_SYSLOG.match(line)
    return _from_own(line, match, stamps, reference) if match is not None else None


def _from_match(match: re.Match[str] | None, stamps: Stamps, reference: int) -> Header | None:
    if match is None:
        return None
    fields = match.groupdict(default="")
    at = _instant(fields, stamps, reference)
    if at is None:
        return None
    pid = fields["pid"]
    return _header(at, fields["host"], fields["program"], "" if pid == "-" else pid, fields["message"])


def _instant(fields: dict[str, str], stamps: Stamps, reference: int) -> int | None:
    if "offset" in fields:
        return stamps.from_iso(fields["minute"], fields["second"], fields["offset"].lstrip())
    return stamps.from_rfc3164(fields["minute"], fields["second"], reference)


def _from_own(line: str, stamp: re.Match[str], stamps: Stamps, reference: int) -> Header | None:
    """Read a line of a log that a daemon writes itself, from the end of its stamp on."""
    fields = stamp.groupdict(default="")
    at = _instant(fields, stamps, reference)
    if at is None:
        return None
    for program, form in _OWN:
        match = form.fullmatch(line, stamp.end())
        if match is not None:
            return _header(at, "", program, match.groupdict().get("pid") or "", match["message"])
    is_exim = fields["minute"][10:11] == " " and "offset" in fields  # Exim has no other stamps
    match = _EXIM.fullmatch(line, stamp.end()) if is_exim else None
    if match is None:
        return None
    return _header(at, fields.get("host", ""), "exim", match["pid"] or fields.get("pid", ""), match["message"])


def _from_tai(line: str) -> Header | None:
    """Read a stamp of multilog (tai64n), which Dovecot's and qmail's logs have."""
    stamp = _TAI.match(line)
    if stamp is None:
        return None
    at = int(stamp["seconds"], 16) - _TAI_OFFSET
    for program, form in _OWN:
        match = form.fullmatch(line, stamp.end())
        if match is not None:
            return _header(at, "", program, match.groupdict().get("pid") or "", match["message"])
    match = _WHO_ALONE.fullmatch(line, stamp.end())
    return _header(at, match["host"] or "", match["program"], match["pid"] or "", match["message"]) if match else None


def _from_nginx(line: str, stamps: Stamps) -> Header | None:
    match = _NGINX.fullmatch(line)
    if match is None:
        return None
    at = stamps.from_iso(f"{match['date'].replace('/', '-')} {match['time']}", match["second"], "")
    return _header(at, "", "nginx", match["pid"], match["message"]) if at is not None else None


def _header(at: int, host: str, program: str, pid: str, message: str) -> Header:
    if not host and _DOVECOT_SERVICE.fullmatch(program):
        program, message = "dovecot", f"{program}: {message}"
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
    """Read an object that a program wrote itself: the whole of it is the message. Its name is in `type`, but for
    Haraka, whose objects have a level and the id of a connection.
    """
    program, stamp, unix = entry.get("type"), entry.get("@timestamp"), entry.get("time_unix")
    if program is None and "level" in entry and "uuid" in entry:
        program, stamp = "haraka", entry.get("timestamp")
    at: int | None = None
    if isinstance(unix, int | float) and 0 <= unix < 1 << 40:
        at = int(unix)
    elif isinstance(stamp, str) and (match := _STAMP_ISO.fullmatch(stamp)):
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
