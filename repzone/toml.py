"""TOML text in, a validated model out; ConfigError naming file, key and the value wanted when it does not fit.

Durations are written `90d`, `24h`, `10m`, `600s`; a bare number is not accepted, since nobody can tell its unit.
"""

import re
import tomllib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from repzone.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d{1,9})([smhdw])")
M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A table of a TOML file: immutable, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_duration(text: object) -> int:
    """Give the seconds that a duration such as `24h` stands for; ValueError otherwise."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no duration; write for example 90d, 24h, 10m or 600s")
    return int(match[1]) * _UNITS[match[2]]


def format_duration(seconds: int) -> str:
    """Write seconds as the shortest exact duration that `parse_duration` reads back; days begin at two: `24h`, `2d`."""
    for unit in "dhm":
        if seconds and seconds % _UNITS[unit] == 0 and (unit != "d" or seconds > _UNITS["d"]):
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Seconds, written in TOML as `90d`, `24h`, `10m` or `600s`."""


def load(text: str, source: str, model: type[M]) -> M:
    """Parse TOML and validate it as `model`; `source` is the file name that a ConfigError names."""
    try:
        return validate(tomllib.loads(text), source, model)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, "", f"not valid TOML: {error}") from None


def validate(values: dict[str, Any], source: str, model: type[M]) -> M:
    """Validate values that are already parsed; ConfigError names the first key that does not fit."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise config_error(error, source) from None


_OUR_WORDS = {
    "tuple_type": 'a list is needed, for example ["one", "two"]',
    "list_type": 'a list is needed, for example ["one", "two"]',
    "too_short": "at least {min_length} is needed",
    "missing": "is missing",
    "string_type": "text in quotes is needed",
    "int_type": "a whole number is needed",
    "bool_type": "true or false is needed",
    "string_too_short": "must not be empty",
}
"""What pydantic's reports say in the words of an operator."""


def config_error(error: ValidationError, source: str) -> ConfigError:
    """Turn pydantic's report into the one line that an operator needs."""
    errors = error.errors()
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])  # a typo says more than a gap
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ConfigError(source, key, "there is no such key")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in _OUR_WORDS:
        message = _OUR_WORDS[first["type"]].format_map(first.get("ctx", {}))
    if "input" in first and not isinstance(first["input"], dict | list) and repr(first["input"]) not in message:
        message += f" (it is {first['input']!r})"
    return ConfigError(source, key, message[:1].lower() + message[1:])
