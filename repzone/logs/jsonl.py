"""One JSON object a line in, an event out: the input for programs that know what they saw.

    {"at": "2026-11-24T07:00:00Z", "client": "192.0.2.1", "reason": "spamtrap",
     "component": "trap", "detail": "...", "count": 3, "id": "a1b2"}

`at` (RFC 3339), `client` (an address) and `reason` are needed. The same source and `id` is stored once.
"""

from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from repzone.model import Client, Event
from repzone.reasons import CATALOGUE


def _know_instant(text: object) -> object:
    if not isinstance(text, str):
        raise ValueError("write RFC 3339, for example 2026-11-24T07:00:00Z")
    return text


def _zoned(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("the time zone is missing; write for example 2026-11-24T07:00:00Z")
    if not 2 < at.year < 9999:
        raise ValueError("no clock shows that year")
    return at


def _know_client(text: str) -> str:
    client = Client.from_text(text)
    if not client.is_address:
        raise ValueError(f"{text!r} is a network; one address is needed")
    return client.to_text()


def _know_reason(reason: str) -> str:
    if reason not in CATALOGUE:
        near = get_close_matches(reason, CATALOGUE, n=1)
        raise ValueError(f"there is no reason {reason!r}" + (f"; is it {near[0]}?" if near else ""))
    return reason


Short = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    at: Annotated[datetime, BeforeValidator(_know_instant), AfterValidator(_zoned), Field(strict=False)]
    client: Annotated[str, AfterValidator(_know_client)]
    reason: Annotated[str, AfterValidator(_know_reason)]
    component: Annotated[str, Field(max_length=32, pattern=r"^[!-~]*$")] = "jsonl"
    detail: Short = ""
    count: int = Field(default=1, ge=1, le=10_000)
    id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None


_OUR_WORDS = {
    "json_invalid": "is no JSON object",
    "model_type": "is no JSON object",
    "missing": "is missing",
    "extra_forbidden": f"there is no such field; there are {', '.join(_Line.model_fields)}",
    "string_type": "a text in quotes is needed",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "string_pattern_mismatch": "holds a character that it must not",
    "int_type": "a whole number is needed",
    "greater_than_equal": "must be 1 to 10,000",
    "less_than_equal": "must be 1 to 10,000",
    "datetime_from_date_parsing": "write RFC 3339, for example 2026-11-24T07:00:00Z",
    "datetime_parsing": "write RFC 3339, for example 2026-11-24T07:00:00Z",
}
"""What pydantic's reports say in the words of who writes the lines."""


def parse(line: bytes, number: int) -> Event:
    """Read one line; ValueError names the field that does not fit."""
    try:
        fields = _Line.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = _OUR_WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise ValueError(f"{where}: {message}" if where else message) from None
    return Event(
        at=int(fields.at.timestamp() // 1),
        client=Client.from_text(fields.client),
        reason=fields.reason,
        count=fields.count,
        component=fields.component,
        detail=fields.detail,
        id=fields.id,
        line=number,
    )


_EXAMPLES = 5  # of faults that are told


class JsonlReader:
    """Reads JSON Lines; what does not fit is counted and remembered in a few examples, and skipped."""

    def __init__(self) -> None:
        self.lines = self.skipped = self.unmatched = 0
        self.newest: int | None = None  # the newest instant of an event
        self._examples: list[str] = []

    def read(self, line: bytes, number: int, reference: int) -> tuple[Event, ...]:
        """Give the event of the line, if it holds one; `reference` is for readers of year-less stamps."""
        self.lines += 1
        if not line.strip():
            return ()
        try:
            event = parse(line, number)
        except ValueError as error:
            self.skipped += 1
            if self.skipped <= _EXAMPLES:
                self._examples.append(f"line {number}: {error}")
            return ()
        self.newest = max(event.at, self.newest or event.at)
        return (event,)

    @property
    def faults(self) -> list[str]:
        """The first few lines that did not fit and why, and how many more there were."""
        more = self.skipped - _EXAMPLES
        return [*self._examples, f"and {more:,} more"] if more > 0 else self._examples

    def dump(self) -> dict[str, Any]:
        """Give what must be remembered between runs: nothing."""
        return {}
