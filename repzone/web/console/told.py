"""A client in, all that is to be told of it out, in one reading: what holds, how it stands, what there is on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from repzone.model import Client, Exemption, Exemptions, Listing
from repzone.policy.outlook import Outlook, foresee
from repzone.policy.rules import DAY, Rulebook
from repzone.store.browse import Counts, Search, count
from repzone.store.dossier import Dossier, Line, load_dossier
from repzone.store.engine import Connection
from repzone.store.exemptions import load_exemptions
from repzone.store.find import find_listings
from repzone.store.lookup import OWN
from repzone.store.policies import load_rulebook
from repzone.store.series import load_gathered
from repzone.zone.table import Found, MemoryTable

MOST = 1000
"""Events and listings that a picture is made of."""


LONGEST = 14 * DAY
"""Seconds that a picture goes back, or ahead, at most."""

PARTS = 300
"""Into so many parts time is divided where events are gathered."""


@dataclass(frozen=True, slots=True)
class Told:
    """What holds now, what there is on it, how it stands, and which exemptions ever covered it; `drawn` are its events
    as a picture needs them: all of the last LONGEST, gathered where they are more than MOST. Of a network that is wider
    than what is listed for a client, the listings in it and around it are counted.
    """

    found: Found
    dossier: Dossier
    outlooks: tuple[Outlook, ...]
    exemptions: Sequence[Exemption]
    rulebook: Rulebook
    now: int
    drawn: Sequence[Line] = ()
    gathered: bool = False
    counts: Counts | None = None

    @property
    def held(self) -> list[Listing]:
        """Give its listings that the brake holds."""
        return [
            one.listing
            for one in self.dossier.histories
            if one.listing.state == "held" and one.listing.expires > self.now
        ]

    @property
    def own(self) -> list[Listing]:
        """Give the listings that hold now of just this client, or of what it is listed as."""
        return [one for one in self.found.listings if one.client in self._keys]

    @property
    def around(self) -> list[Client]:
        """Give the networks around it that are listed."""
        return sorted({one.client for one in self.found.listings if one.client not in self._keys})

    @property
    def exempted(self) -> bool:
        """Tell whether somebody exempted just this client, and that holds."""
        return any(
            one.network == self.dossier.client and one.author != OWN and one.holds_at(self.now)
            for one in self.exemptions
        )

    @property
    def _keys(self) -> set[Client]:
        return {self.dossier.client.key(one.policy.ipv6_prefix) for one in self.rulebook.versions}

    @property
    def hits(self) -> int:
        """Give the mails that were refused for the listings that hold now."""
        return sum(one.hits for one in self.dossier.histories if one.listing.state_at(self.now) == "active")

    @property
    def since(self) -> int | None:
        """Give when the first of the listings that hold now began."""
        return min((one.began for one in self.found.listings), default=None)


def tell(connection: Connection, client: Client, now: int, most: int = MOST) -> Told:
    """Read all that is known of a client, as `repzone explain` does."""
    exemptions = [one for one in load_exemptions(connection) if one.network.covers(client)]
    found = MemoryTable(find_listings(connection, now, client=client), exemptions).lookup(client, now)
    rulebook = load_rulebook(connection)
    dossier = load_dossier(connection, client, rulebook, Exemptions(exemptions), now, most)
    outlooks = tuple(
        foresee(case.offences, case.earlier, case.category, rulebook, now, case.clean, case.spared)
        for case in dossier.cases
        if not (found.reserved or found.exemption)
    )
    gathered = len(dossier.events) == most == MOST
    drawn = _gather(connection, dossier, rulebook, exemptions, now) if gathered else dossier.events
    counts = count(connection, Search(client), now) if dossier.key is None else None
    return Told(found, dossier, outlooks, exemptions, rulebook, now, drawn, gathered, counts)


def _gather(
    connection: Connection, dossier: Dossier, rulebook: Rulebook, exemptions: Sequence[Exemption], now: int
) -> list[Line]:
    since = max(now - LONGEST, min((seen.first for seen in dossier.reasons.values()), default=now))
    keys = sorted({dossier.client.key(one.policy.ipv6_prefix) for one in rulebook.versions})
    listings = [one.listing for one in dossier.histories]
    edges = [at for one in listings for at in (one.began + 1, one.expires)]
    edges += [at for one in exemptions for at in (one.added, one.ended) if at is not None]
    width = max(1, (now - since) // PARTS)
    return load_gathered(connection, keys, Exemptions(exemptions), since, width, edges)
