"""What a page is made of in, the same for programs out: JSON values, instants as RFC 3339 with Z."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime

from repzone.model import Client

INSTANTS = {
    *(
        "at",
        "began",
        "expires",
        "added",
        "ended",
        "first",
        "last",
        "until",
        "since",
        "seen",
        "logged",
        "now",
        "waiting",
    ),
    *("changed", "effective_from", "remembered", "instants", "written"),
}
"""Names of what holds instants."""


def utc(at: int) -> str:
    """Write an instant for programs."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_json(value: object, name: str = "") -> object:
    """Give a value as JSON has it; a dataclass is an object of its fields."""
    if isinstance(value, Client):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and name in INSTANTS:
        return utc(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: as_json(getattr(value, one.name), one.name) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(one, str(key) if name != "reasons" else "") for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [as_json(one, name) for one in value]
    return value
