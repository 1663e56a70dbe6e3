"""Random listings and exemptions in a small space, so that they overlap in every way."""

from hypothesis import strategies as st

from repzone.model import V4, V6, Client, Exemption, Listing
from repzone.reasons import CATEGORIES
from repzone.zone.table import MemoryTable
from tests.wire.sample import NOW

# Octets below 10 are nibbles too; 9 and 10 lie beside each other.
BASES = {V4: (0x02040607, 0x020A0300, 0x020A03FE, 0x09F00102), V6: (0x2 << 124 | 4 << 120, 0x20010DB8 << 96 | 5 << 64)}
LENGTHS = {V4: (15, 16, 22, 24, 25, 30, 32), V6: (14, 16, 44, 47, 62, 64, 66, 127, 128)}


@st.composite
def networks(draw: st.DrawFn) -> Client:
    """Give a prefix or an address."""
    version = draw(st.sampled_from((V4, V6)))
    value = draw(st.sampled_from(BASES[version])) ^ draw(st.integers(0, 3)) << draw(st.sampled_from((0, 1, 3, 8)))
    return Client(version, value, 32 if version == V4 else 128).truncate(draw(st.sampled_from(LENGTHS[version])))


def tables() -> st.SearchStrategy[MemoryTable]:
    """Give tables."""
    listing = st.builds(
        Listing,
        client=networks(),
        category=st.sampled_from(CATEGORIES),
        offence=st.integers(1, 9),
        began=st.just(NOW - 60),
        expires=st.sampled_from((NOW, NOW + 1, NOW + 100, NOW + 20_000)),
    )
    exemption = st.builds(Exemption, network=networks(), added=st.just(0), ended=st.sampled_from((None, NOW, NOW + 50)))
    return st.builds(MemoryTable, st.lists(listing, max_size=8), st.lists(exemption, max_size=4))


@st.composite
def addresses(draw: st.DrawFn) -> Client:
    """Give an address in or beside the networks."""
    network = draw(networks())
    width = 32 if network.version == V4 else 128
    near = draw(st.sampled_from((0, -1, 1, 2**40 - 1, draw(st.integers(0, 2**128)) % 2 ** (width - network.length))))
    return Client.from_number(network.version, (network.value + near) % 2**width, width)
