"""The patterns that read what strangers may have written."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _parser as parser
from typing import Any

import pytest

import repzone
from repzone.logs import syslog


def _patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for module in pkgutil.walk_packages(repzone.__path__, "repzone."):
        if module.name != "repzone.__main__":
            for name, value in vars(importlib.import_module(module.name)).items():
                yield from _inside(f"{module.name}.{name}", value)


def _inside(name: str, value: object) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _inside(f"{name}.{number}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _inside(f"{name}.{key}", part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _inside(f"{name}.{field.name}", getattr(value, field.name))


PATTERNS = dict(_patterns())


def _possessive_groups(parsed: Any) -> Iterator[Any]:
    for operation, argument in parsed:
        if str(operation) == "POSSESSIVE_REPEAT" and (len(argument[2]) != 1 or str(argument[2][0][0]) not in _SINGLE):
            yield argument
        for part in _parts(argument):
            yield from _possessive_groups(part)


def _parts(argument: Any) -> Iterator[Any]:
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, list | tuple):
        for part in argument:
            yield from _parts(part)


_SINGLE = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_no_pattern_repeats_a_group_possessively(name: str) -> None:
    """Python before 3.11.5 loses its place in them (gh-106052); an atomic group says the same."""
    pattern = PATTERNS[name]
    assert not list(_possessive_groups(parser.parse(pattern.pattern, pattern.flags)))


def test_the_patterns_are_found() -> None:
    assert syslog._LINE_ISO in PATTERNS.values()
    assert list(_possessive_groups(parser.parse(r"a(?:b(?:cd)?+)*")))
    assert not list(_possessive_groups(parser.parse(r"a++(?>(?:bc)?)[^x]*+")))
