"""Listings and exemptions in, what holds for one address now out.

A table keeps one dictionary for each prefix length that occurs, so a look-up costs one probe a length, however
many are listed. One writer may change it while any number of threads read: a reader sees each entry whole, before
or after, because entries are immutable and every change is one assignment.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Generic, Protocol, TypeVar

from repzone.model import RESERVED, V4, V6, WIDTH, Change, Client, Exemption, Listing
from repzone.reasons import CATEGORIES, Category


@dataclass(frozen=True, slots=True)
class Found:
    """What holds for one address at one instant.

    `listings` that cover it: the one that ends last first, of several the most specific; empty when it is exempt.
    `exemption` is the operator's, the most specific one, of several of one network that which lasts longest;
    `reserved` says that the space is never listed for anybody.
    """

    listings: tuple[Listing, ...] = ()
    exemption: Exemption | None = None
    reserved: bool = False


NOTHING = Found()


class Table(Protocol):
    """What is listed and who is exempt now; changed by one writer, read by any thread."""

    def lookup(self, client: Client, now: int) -> Found:
        """Give what holds for an address, or for all of a prefix: listings with `now < expires`, unless exempt."""
        ...

    def apply(self, change: Change) -> None:
        """Make one change, by the rules that `Change` states; a state that is already so stays so."""
        ...

    def replace(self, listings: Iterable[Listing], exemptions: Iterable[Exemption]) -> None:
        """Hold these instead of everything before, at one instant for every reader."""
        ...

    def sweep(self, now: int) -> int:
        """Forget what has ended and give how many entries that were; no look-up waits for it."""
        ...

    def counts(self) -> Mapping[Category, int]:
        """Give the number of listings by category, those included that ended after the last sweep."""
        ...

    def count_exempt(self, now: int) -> Mapping[Category, int]:
        """Count those of `counts` that an exemption in force covers wholly: a look at each, if there are exemptions."""
        ...

    def listings(self, now: int) -> Iterator[Listing]:
        """Give the listings active at that instant, in no order."""
        ...

    def exemptions(self, now: int) -> Iterator[Exemption]:
        """Give the operator's exemptions in force at that instant, in no order."""
        ...


E = TypeVar("E")


Length = tuple[int, dict[int, tuple[E, ...]]]
"""Host bits of a prefix length, and the entries by network number."""


class _Index(Generic[E]):
    """Entries by version, prefix length and network number; several of one network are one tuple."""

    def __init__(self) -> None:
        self._lengths: dict[int, tuple[Length[E], ...]] = {V4: (), V6: ()}  # the readers', longest prefix first
        self._by_length: dict[tuple[int, int], dict[int, tuple[E, ...]]] = {}  # the same, for the writer

    def get(self, network: Client) -> tuple[E, ...]:
        return self._numbers(network).get(network.value, ())

    def put(self, network: Client, entries: tuple[E, ...]) -> None:
        """Set the entries of a network; without any it is forgotten."""
        numbers = self._numbers(network)
        if entries:
            numbers[network.value] = entries
        else:
            numbers.pop(network.value, None)

    def _numbers(self, network: Client) -> dict[int, tuple[E, ...]]:
        known = self._by_length.get((network.version, network.length))
        if known is not None:
            return known
        added: dict[int, tuple[E, ...]] = {}
        lengths = [*self._lengths[network.version], (WIDTH[network.version] - network.length, added)]
        self._lengths[network.version] = tuple(sorted(lengths, key=lambda length: length[0]))
        self._by_length[network.version, network.length] = added
        return added

    def covering(self, client: Client) -> list[E]:
        """Give the entries whose network covers the address or prefix, the most specific first."""
        found: list[E] = []
        value, least = client.value, WIDTH[client.version] - client.length
        for shift, numbers in self._lengths[client.version]:
            entries = numbers.get(value >> shift << shift) if shift >= least else None
            if entries:
                found.extend(entries)
        return found

    def entries(self) -> Iterator[E]:
        """Give every entry; the writer may go on meanwhile."""
        for lengths in self._lengths.values():
            for _, numbers in lengths:
                for entries in numbers.copy().values():  # copy() is one step under the interpreter's lock
                    yield from entries

    def prune(self, keep: Callable[[E], bool]) -> list[E]:
        """Forget what is not to be kept, and give it."""
        gone: list[E] = []
        for lengths in self._lengths.values():
            for _, numbers in lengths:
                for value, entries in numbers.copy().items():
                    if all(map(keep, entries)):
                        continue
                    gone.extend(entry for entry in entries if not keep(entry))
                    kept = tuple(filter(keep, entries))
                    if kept:
                        numbers[value] = kept
                    else:
                        del numbers[value]
        return gone


def _index_reserved() -> _Index[Exemption]:
    index: _Index[Exemption] = _Index()
    for network in RESERVED:
        index.put(network, (Exemption(network, added=0),))
    return index


_RESERVED = _index_reserved()


class _State:
    """Everything that `replace` swaps at once."""

    def __init__(self) -> None:
        self.listings: _Index[Listing] = _Index()
        self.exemptions: _Index[Exemption] = _Index()
        self.counts: dict[Category, int] = dict.fromkeys(CATEGORIES, 0)


class MemoryTable:
    """A `Table` of Python dictionaries."""

    def __init__(self, listings: Iterable[Listing] = (), exemptions: Iterable[Exemption] = ()) -> None:
        self._state = _State()
        self.replace(listings, exemptions)

    def lookup(self, client: Client, now: int) -> Found:
        """Give what holds for an address at that instant."""
        state = self._state
        reserved = bool(_RESERVED.covering(client))
        held = [exemption for exemption in state.exemptions.covering(client) if exemption.holds_at(now)]
        if held:
            return Found(exemption=max(held, key=_precedence), reserved=reserved)
        if reserved:
            return Found(reserved=True)
        active = [listing for listing in state.listings.covering(client) if now < listing.expires]
        if not active:
            return NOTHING
        active.sort(key=lambda listing: -listing.expires)  # stable: `covering` gave the most specific first
        return Found(tuple(active))

    def apply(self, change: Change) -> None:
        """Make one change; one that is older than what is held changes nothing."""
        if isinstance(change.what, Listing):
            _apply_listing(self._state, change.what)
        else:
            _apply_exemption(self._state, change.what)

    def replace(self, listings: Iterable[Listing], exemptions: Iterable[Exemption]) -> None:
        """Hold these instead; listings that are not active are left out."""
        state = _State()
        for listing in listings:
            if listing.state == "active":
                _apply_listing(state, listing)
        for exemption in exemptions:
            _apply_exemption(state, exemption)
        self._state = state

    def sweep(self, now: int) -> int:
        """Forget what has ended."""
        state = self._state
        ended = state.listings.prune(lambda listing: now < listing.expires)
        for listing in ended:
            state.counts[listing.category] -= 1
        lifted = state.exemptions.prune(lambda exemption: exemption.ended is None or now < exemption.ended)
        return len(ended) + len(lifted)

    def counts(self) -> Mapping[Category, int]:
        """Give the number of listings by category."""
        return self._state.counts.copy()

    def count_exempt(self, now: int) -> Mapping[Category, int]:
        """Count those of `counts` that an exemption in force covers."""
        state, counts = self._state, dict.fromkeys(CATEGORIES, 0)
        if any(self.exemptions(now)):
            for listing in state.listings.entries():
                covering = state.exemptions.covering(listing.client)
                counts[listing.category] += any(exemption.holds_at(now) for exemption in covering)
        return counts

    def listings(self, now: int) -> Iterator[Listing]:
        """Give the listings active at that instant."""
        return (listing for listing in self._state.listings.entries() if now < listing.expires)

    def exemptions(self, now: int) -> Iterator[Exemption]:
        """Give the operator's exemptions in force at that instant."""
        return (exemption for exemption in self._state.exemptions.entries() if exemption.holds_at(now))


def _precedence(exemption: Exemption) -> tuple[int, float]:
    return exemption.network.length, inf if exemption.ended is None else exemption.ended


def _apply_listing(state: _State, listing: Listing) -> None:
    """Put an active listing in the place of the earlier one; another state takes out the one that it began as."""
    entries = state.listings.get(listing.client)
    if not entries:  # nearly always so in a load
        if listing.state == "active":
            state.listings.put(listing.client, (listing,))
            state.counts[listing.category] += 1
        return
    held = next((entry for entry in entries if entry.category == listing.category), None)
    others = tuple(entry for entry in entries if entry is not held)
    if listing.state == "active":
        if held is None or held.began <= listing.began:
            state.listings.put(listing.client, (*others, listing))
            state.counts[listing.category] += held is None
    elif held is not None and held.began == listing.began:
        state.listings.put(listing.client, others)
        state.counts[listing.category] -= 1


def _apply_exemption(state: _State, exemption: Exemption) -> None:
    """Put an exemption, or give the one that was added with it its end; others of the network stay."""
    entries = state.exemptions.get(exemption.network)
    others = tuple(entry for entry in entries if entry.added != exemption.added)
    state.exemptions.put(exemption.network, (*others, exemption))
