"""A client in, all that is to be told of it out, in one reading: what holds, how it stands, what there is on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from repzone.model import Client, Exemption, Exemptions, Listing
from repzone.policy.outlook import Outlook, foresee
from repzone.policy.rules import Rulebook
from repzone.store.dossier import Dossier, load_dossier
from repzone.store.engine import Connection
from repzone.store.exemptions import load_exemptions
from repzone.store.find import find_listings
from repzone.store.policies import load_rulebook
from repzone.zone.table import Found, MemoryTable

MOST = 1000
"""Events and listings that a picture is made of."""


@dataclass(frozen=True, slots=True)
class Told:
    """What holds now, what there is on it, how it stands, and which exemptions ever covered it."""

    found: Found
    dossier: Dossier
    outlooks: tuple[Outlook, ...]
    exemptions: Sequence[Exemption]
    rulebook: Rulebook
    now: int

    @property
    def held(self) -> list[Listing]:
        """Give its listings that the brake holds."""
        return [
            one.listing
            for one in self.dossier.histories
            if one.listing.state == "held" and one.listing.expires > self.now
        ]

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
    return Told(found, dossier, outlooks, exemptions, rulebook, now)
