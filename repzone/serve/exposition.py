"""Families of numbers in, Prometheus' text format out (version 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Family:
    """Numbers of one name: a counter ends in `_total`, a unit is spelled out; `samples` by their labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[Sample] = field(default=())
    buckets: Sequence[tuple[float, int]] = field(default=())  # a histogram's: upper bound and number up to it
    sum: float = 0.0
    count: int = 0


def single(name: str, kind: Literal["counter", "gauge"], text: str, value: float) -> Family:
    """Give a family of one number without labels."""
    return Family(name, kind, text, [({}, value)])


def render(families: Iterable[Family]) -> bytes:
    """Write families in their order."""
    return "".join(line for family in families for line in _lines(family)).encode()


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n"
    for labels, value in family.samples:
        yield f"{family.name}{_labels(labels)} {_number(value)}\n"
    if family.kind == "histogram":
        for bound, number in (*family.buckets, (float("inf"), family.count)):
            yield f"{family.name}_bucket{_labels({'le': _number(bound)})} {number}\n"
        yield f"{family.name}_sum {_number(family.sum)}\n{family.name}_count {family.count}\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)
