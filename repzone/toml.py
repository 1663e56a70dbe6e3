"""TOML text in, a validated model out; ConfigError naming file, line, key and the value wanted when it does not fit.

Durations are written `90d`, `24h`, `10m`, `600s`; a bare number is not accepted, since nobody can tell its unit.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

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
        return validate(tomllib.loads(text), source, model, text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, "", f"not valid TOML: {error}") from None


def validate(values: dict[str, Any], source: str, model: type[M], text: str) -> M:
    """Validate values that are already parsed from that text; ConfigError names the first key that does not fit."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise config_error(error, source, text) from None


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


KeyPath = tuple[str | int, ...]
"""The names of the tables around a key, and its own; the place in a list is a number."""


def faulty(error: ValidationError) -> tuple[ErrorDetails, KeyPath]:
    """Give what of pydantic's report an operator is told, and the key that it is about."""
    errors = error.errors()
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])  # a typo says more than a gap
    return first, tuple(part for part in first["loc"] if part != "[key]")


def config_error(error: ValidationError, source: str, text: str = "") -> ConfigError:
    """Turn pydantic's report into the one line that an operator needs; `text` is the TOML that the key stands in."""
    first, path = faulty(error)
    key, line = ".".join(map(str, path)), find_line(text, path)
    if first["type"] == "extra_forbidden":
        return ConfigError(source, key, "there is no such key", line)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in _OUR_WORDS:
        message = _OUR_WORDS[first["type"]].format_map(first.get("ctx", {}))
    if "input" in first and not isinstance(first["input"], dict | list) and repr(first["input"]) not in message:
        message += f" (it is {first['input']!r})"
    return ConfigError(source, key, message[:1].lower() + message[1:], line)


def find_line(text: str, path: KeyPath) -> int | None:
    """Give the line (from 1) of valid TOML on which a key or the header of its table is; None when it is not there."""
    table: KeyPath = ()
    tables: Counter[KeyPath] = Counter()  # of each array, how many begin so far
    for line, statement in _statements(text):
        values = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(values)
            if table and table[-1] == 0:
                tables[table] += 1
                table = (*table[:-1], tables[table] - 1)
            if path and table[: len(path)] == path:
                return line
        elif path[: len(table)] == table and _holds(values, path[len(table) :]):
            return line
    return None


# What may hold a line's end that ends no statement, or a bracket that opens nothing; brackets; and the end of a line.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|"(?:\\.|[^"\\\n])*"|'
    r"'''.*?'{3,5}|'[^'\n]*'|#[^\n]*|[\[{]|[\]}]|\n",
    re.DOTALL,
)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Give the headers and the keys with their values, each with the number of its first line."""
    text = text.replace("\r\n", "\n") + "\n"
    begin, line, depth = 0, 1, 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if token[0] == "\n" and not depth:
            statement = text[begin : token.end()]
            if statement.strip() and not statement.lstrip().startswith("#"):
                yield line, statement
            begin, line = token.end(), line + statement.count("\n")


def _header(values: Any) -> KeyPath:
    """Give the path that a header alone opens; 0 at its end for one more table of an array."""
    path: list[str | int] = []
    while values:
        name, values = (0, values[0]) if isinstance(values, list) else next(iter(values.items()))
        path.append(name)
    return tuple(path)


def _holds(values: Any, path: KeyPath) -> bool:
    """Tell whether there is something at that path."""
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(path)
