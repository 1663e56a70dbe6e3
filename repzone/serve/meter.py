"""Queries of the general path and their answers in, counts by zone, type and rcode out; and a sampled log of hits."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import structlog

from repzone.model import Client
from repzone.wire.answer import Answer, Outcome, find_zone
from repzone.wire.query import AAAA, SOA, TXT, A, Query
from repzone.zone.definition import Zone
from repzone.zone.names import from_labels

BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
"""Upper bounds of the histogram, in seconds."""

OUTSIDE = "none"
"""What queries are counted under that are in no zone of ours, or that cannot be read."""

TYPES = {A: "A", TXT: "TXT", SOA: "SOA", AAAA: "AAAA"}
OTHER_TYPE = "other"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query is counted by."""

    apex: str
    type: str
    rcode: int


class Meter:
    """Counts what the general path answers, and how long that takes; writes a share of the hits to the log."""

    def __init__(self, share: float = 0.0) -> None:
        """`share` of the hits, 0 to 1, is logged: the 20th, the 40th … with 0.05. With `chosen` the compiled core
        chooses those on UDP, and whatever comes here that way is logged.
        """
        self.share = share
        self.chosen = False
        self.asked: Counter[Asked] = Counter()
        self.buckets = [0] * len(BUCKETS)
        self.seconds, self.count = 0.0, 0
        self._due = 0.0

    def begin(self, zones: tuple[Zone, ...]) -> Callable[[Query, Client, Answer, bool], None]:
        """Note that a packet has come; give what is to be told the answer (`View.observe`)."""
        return partial(self._end, perf_counter(), zones)

    def _end(
        self, begun: float, zones: tuple[Zone, ...], query: Query, client: Client, answer: Answer, udp: bool
    ) -> None:
        took = perf_counter() - begun
        zone = find_zone(query.name, zones) if query.question else None
        kind = TYPES.get(query.type, OTHER_TYPE)
        self.asked[Asked(zone.apex if zone else OUTSIDE, kind, answer.codes[0])] += 1
        self.seconds += took
        self.count += 1
        for place, bound in enumerate(BUCKETS):
            if took <= bound:
                self.buckets[place] += 1
                break
        if self.share and zone is not None and answer.outcome is Outcome.HIT:
            self._log_hit(zone, query, client, kind, 1.0 if udp and self.chosen else self.share)

    def _log_hit(self, zone: Zone, query: Query, client: Client, kind: str, share: float) -> None:
        """Write a hit to the log when it is its turn; what is no address is none."""
        found = from_labels(query.name[: -len(zone.name)])
        if not isinstance(found, Client):
            return
        self._due += share
        if self._due >= 1:
            self._due -= 1
            log.info("dns.hit", zone=zone.apex, client=str(found), type=kind, asked_by=str(client))
