"""The stamps of log lines in, whole UTC seconds out. Nothing here reads a clock: the year comes from a reference.

A stamp without year takes the latest year that does not put the line more than a day after the reference (the
file's time, or the present for a file that is followed). Local time that never was, in spring, is read with the offset
before the change. Of local time that comes twice, in autumn, it is the first one, unless that lies behind what the log
has reached: its lines are in order, give or take DISORDER.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TypeVar

DAY = 86_400
DISORDER = 60
"""Seconds that a line may have been written later than the one behind it."""

_SKEW = DAY
_ELSEWHERE = 7_200  # seconds back after which it is another stretch of time that is being read
_KEPT = 4096
YEAR_10000 = 253_402_300_800
# English, and what else journalctl writes by the reader's locale (de, es, fr, it, nl, pl, pt, sv; cs, fi, hu, ru, tr).
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            *("jan janv jän ene gen sty led tammi янв oca", "feb febr févr fev lut úno helmi фев şub"),
            *("mar mär mars mrt maart bře maalis márc мар", "apr avr avril abr kwi dub huhti ápr апр nis"),
            *("may mai maj mag mei kvě touko máj май мая", "jun juin juni giu cze čvn čen kesä jún июн haz"),
            *("jul juil juli lug lip čvc čec heinä júl июл tem", "aug août ago sie srp elo авг ağu"),
            *("sep sept set wrz zář syys szept сен eyl", "oct okt ott out paź říj loka окт eki"),
            *("nov lis marras ноя kas", "dec dez déc dic des gru pro joulu дек ara"),
        ),
        1,
    )
    for name in names.split()
}
V = TypeVar("V")
Minute = tuple[int, int]
"""The instant at which a minute of local time begins, and how much later it begins once more; 0 for never."""

_ZONE = re.compile(r"([+-])(\d\d)(?::?(\d\d))?")
_NUMBERED = re.compile(r"(\d{1,2})[月월]")  # Japanese, Chinese and Korean


class Stamps:
    """The time zone of a log, and the minutes that were already worked out: a busy log has many lines in each.

    `reached` is the newest instant of those whose local time comes twice; what is read now was written from `since` up
    to `until`, as far as that is known. `twice` is set when such a local time is read.
    """

    def __init__(self, zone: tzinfo, reached: int | None = None) -> None:
        self.reached = reached
        self.since = self.until = 0
        self.twice = False
        self._zone = zone
        self._minutes: dict[str, Minute] = {}
        self._yearless: dict[str, tuple[Minute, int, int]] = {}

    def from_iso(self, minute: str, second: str, offset: str) -> int | None:
        """Read RFC 3339 `2026-11-04T10:00`, `05` and `Z`, `+01:00` or "" for local time; None for no such time."""
        key = minute + offset
        base = self._minutes.get(key)
        if base is None:
            try:
                zone = _zone(offset) if offset else self._zone
                base = _epoch(int(minute[:4]), int(minute[5:7]), int(minute[8:10]), minute[11:16], zone)
            except (ValueError, OverflowError):
                return None
            _keep(self._minutes, key, base)
        return self._instant(base, second)

    def from_rfc3164(self, minute: str, second: str, reference: int, offset: str = "") -> int | None:
        """Read `Nov  4 10:00` and `05`, with or without a year before it; None for no such time."""
        key = minute + offset
        if minute[:4].isdigit():
            return self._with_year(minute, second, offset)
        known = self._yearless.get(key)
        if known is None or not known[1] <= reference < known[2]:
            known = self._find_year(minute, reference, offset)
            if known is None:
                return None
            _keep(self._yearless, key, known)
        return self._instant(known[0], second)

    def _with_year(self, minute: str, second: str, offset: str) -> int | None:
        key = minute + offset
        base = self._minutes.get(key)
        if base is None:
            year, month, day, clock = minute.split()
            zone = _zone(offset) if offset else self._zone
            try:
                base = _epoch(int(year), _month(month), int(day), clock, zone)
            except (ValueError, OverflowError):
                return None
            _keep(self._minutes, key, base)
        return self._instant(base, second)

    def _find_year(self, minute: str, reference: int, offset: str) -> tuple[Minute, int, int] | None:
        """Give the minute, and the references from and up to which it is the right one."""
        month_name, day, clock = minute.split()
        month = _month(month_name)
        if not month:
            return None
        zone = _zone(offset) if offset else self._zone
        newest = datetime.fromtimestamp(reference + _SKEW, tz=UTC).year + 1
        later = 1 << 62
        for year in range(newest, newest - 11, -1):  # leap days may be 8 years apart (1896, 1904)
            try:
                base = _epoch(year, month, int(day), clock, zone)
            except (ValueError, OverflowError):
                continue
            begin = base[0]
            if begin <= reference + _SKEW:
                return base, begin - _SKEW, later
            later = begin - _SKEW
        return None

    def _instant(self, minute: Minute, second: str) -> int | None:
        """Add the second, 60 for a leap one; None for what no clock shows, and for what lies outside 1970 to 9999."""
        begin, again = minute
        if second > "60" or not 0 <= begin < YEAR_10000 - 60:
            return None
        return self._choose(begin + int(second), again) if again else begin + int(second)

    def _choose(self, first: int, again: int) -> int:
        """Tell at which of two instants a local time was, the second of them `again` seconds after the first."""
        self.twice = True
        second = first + again
        known = self.since if second <= self.until + DISORDER else 0
        is_past = any(first + DISORDER < mark <= second + again for mark in (self.reached or 0, known))
        at = second if is_past else first
        if self.reached is None or not self.reached - _ELSEWHERE <= at <= self.reached:
            self.reached = at
        return at


def _month(name: str) -> int:
    """Give a month's number, 0 for no month."""
    numbered = _NUMBERED.fullmatch(name)
    return int(numbered[1]) if numbered is not None else _MONTHS.get(name.rstrip(".").lower(), 0)


def _epoch(year: int, month: int, day: int, clock: str, zone: tzinfo) -> Minute:
    hour, minute = clock.split(":")
    local = datetime(year, month, day, int(hour), int(minute), tzinfo=zone)
    begin = int(local.timestamp())
    return begin, max(0, int(local.replace(fold=1).timestamp()) - begin)


def _zone(offset: str) -> tzinfo:
    match = _ZONE.fullmatch(offset)
    if match is None:
        return UTC
    delta = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    return timezone(-delta if match[1] == "-" else delta)


def _keep(known: dict[str, V], key: str, value: V) -> None:
    if len(known) >= _KEPT:
        known.clear()
    known[key] = value
