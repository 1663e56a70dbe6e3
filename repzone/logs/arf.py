"""The octets of one abuse report in, an event out; None when it reports no offence, MailError when it is no report.

ARF (RFC 5965: a message/feedback-report part), X-ARF 0.1 and 0.2 (lines `Key: value` in the second part) and X-ARF's
JSON (`Report.SourceIp`; since version 4 `source_identifier`). The first report in the mail counts and nothing behind
it: there lies the mail that is complained of, which may hold what looks like another report.

No offence is what accuses nobody of sending: not-spam (RFC 6430), opt-out, other, and auth-failure (RFC 6591), which
every forwarded mail can cause.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from repzone.logs.fact import parse_client
from repzone.logs.mail import MailError, Part, fields, first_fields, instant, parts, split
from repzone.model import Event

_OFFENCES = {"abuse", "fraud", "virus"}  # RFC 5965 §7.3
_HARMLESS = {"vulnerability", "copyright", "reputation", "info"}  # classes of X-ARF: about what a host has, not does
_MOST = 10_000
_LONGEST = 65_536  # octets of an X-ARF text that are read
_LATE, _EARLY = 90 * 86_400, 86_400  # seconds that a report may be sent after what it reports, or before
_WORD = re.compile(r"[\w.-]{1,40}", re.ASCII)


def parse(mail: bytes) -> Event | None:
    """Read a report: the reported address becomes `abuse_report` at the arrival of the mail that is complained of."""
    head = first_fields(split(mail)[0])
    sent = instant(head.get("date", ""))
    marked = "x-arf" in head or "x-xarf" in head
    for number, part in enumerate(parts(mail)):
        if part.type == "message/feedback-report":
            report = _read_fields(part)
            if report.get("feedback-type", "").lower() != "xarf":  # else the JSON behind it tells
                return _from_arf(report, sent)
        elif part.type == "application/json" or part.name.endswith(".json"):
            return _from_json(part, sent)
        elif part.type.startswith("text/") and (part.name == "report.txt" or (marked and number == 1)):
            return _from_lines(part, sent)
    raise MailError("has no message/feedback-report part (RFC 5965) and no X-ARF report")


def _read_fields(part: Part) -> dict[str, str]:
    report: dict[str, str] = {}
    for name, value in fields(split(part.decode().lstrip(b"\r\n"))[0]):
        if name == "source-ip" and name in report:  # at most once, RFC 5965 §3.2
            raise MailError("names more than one Source-IP")
        report.setdefault(name, value)
    return report


def _from_arf(report: Mapping[str, str], sent: int | None) -> Event | None:
    kind = report.get("feedback-type", "").lower()
    if not kind:
        raise MailError("its report has no Feedback-Type")
    if kind not in _OFFENCES:
        return None
    arrived = report.get("arrival-date") or report.get("received-date", "")
    incidents = report.get("incidents", "")
    count = int(incidents) if re.fullmatch(r"[0-9]{1,10}", incidents) else 1
    return _event(report, "Source-IP", arrived, sent, "arf", kind, count)


def _from_lines(part: Part, sent: int | None) -> Event | None:
    """Read the flat YAML of X-ARF 0.1 and 0.2; lines that are indented belong to no key that we need."""
    report: dict[str, str] = {}
    for line in part.decode()[:_LONGEST].decode("utf-8", "replace").splitlines():
        key, colon, value = line.partition(":")
        if colon and _WORD.fullmatch(key):
            if key.lower() == "source" and "source" in report:
                raise MailError("names more than one Source")
            report.setdefault(key.lower(), value.strip().strip("'\""))
    if "report-type" not in report:
        raise MailError("its X-ARF report has no Report-Type")
    if report.get("category", "").lower() in _HARMLESS:
        return None
    return _event(report, "Source", report.get("date", ""), sent, "xarf", report["report-type"])


def _from_json(part: Part, sent: int | None) -> Event | None:
    try:
        whole = json.loads(part.decode())
    except (ValueError, RecursionError):
        whole = None
    if not isinstance(whole, dict):
        raise MailError("its JSON part is no object")
    inner = whole.get("Report")
    report: dict[str, Any] = {
        name.lower(): value for name, value in (inner if isinstance(inner, dict) else whole).items()
    }
    if "xarf_version" in report:
        source, when = "source_identifier", "timestamp"
        group, kind = report.get("class") or report.get("category"), report.get("type")
    else:
        source, when = "SourceIp", "date"
        group, kind = report.get("reportclass"), report.get("reporttype")
    if isinstance(group, str) and group.lower() in _HARMLESS:
        return None
    return _event(report, source, str(report.get(when, "")), sent, "xarf", str(kind))


def _event(
    report: Mapping[str, Any], key: str, arrived: str, sent: int | None, component: str, kind: str, count: int = 1
) -> Event:
    source = report.get(key.lower())
    if not isinstance(source, str):
        raise MailError(f"its report has no {key}")
    client = parse_client(source.strip("[]"))
    if client is None:
        raise MailError(f"its {key} is no address")
    at = instant(arrived)
    if at is None or (sent is not None and not sent - _LATE <= at <= sent + _EARLY):
        at = sent
    if at is None:
        raise MailError("has neither a date of arrival nor a Date")
    detail = f"reported as {kind.lower()}" if _WORD.fullmatch(kind) else "reported"
    return Event(at, client, "abuse_report", min(max(count, 1), _MOST), component, detail)
