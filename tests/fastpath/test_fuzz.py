"""The core under sanitizers: mutated packets, rows and zones, and one writer among readers."""

from pathlib import Path

import pytest

from repzone.fastpath.zones import compile_zone
from repzone.zone.rows import pack_exemption, pack_listing
from tests.fastpath.needed import SOAK, build, run
from tests.fastpath.sample import make_core, make_exemptions, make_listings, make_packets


@pytest.fixture
def sample(tmp_path: Path) -> list[str]:
    """The sample as the programs take it: zones, how many, rows, packets."""
    _, view = make_core()
    zones = [compile_zone(zone, number, (1, 2, 3)) for number, zone in enumerate(view.zones, 1)]
    files = {
        "zones": b"".join(zones),
        "rows": b"".join([*map(pack_listing, make_listings()), *map(pack_exemption, make_exemptions())]),
        "packets": b"".join(len(packet).to_bytes(2, "big") + packet for packet in make_packets() if len(packet) < 700),
    }
    for name, octets in files.items():
        (tmp_path / name).write_bytes(octets)
    places = [str(tmp_path / name) for name in files]
    return [places[0], str(len(zones)), *places[1:]]


@pytest.mark.parametrize("seed", range(8 if SOAK else 1))
def test_no_packet_row_or_zone_makes_the_core_read_or_write_where_it_must_not(
    tmp_path: Path, sample: list[str], seed: int
) -> None:
    rounds = 20_000_000 if SOAK else 1_000_000
    answered = run(build("fuzz", tmp_path, "address,undefined"), *sample, str(rounds), str(seed))
    assert answered > rounds / 10


@pytest.mark.parametrize("sanitizers", ["thread", "address,undefined"])
def test_threads_queues_and_writer_do_not_race(tmp_path: Path, sample: list[str], sanitizers: str) -> None:
    rounds = 200_000 if SOAK else 2_000
    assert run(build("serve", tmp_path, sanitizers), *sample, str(rounds)) > rounds / 2


@pytest.mark.parametrize("sanitizers", ["thread", "address,undefined"])
def test_readers_see_each_change_whole_and_never_miss_what_stands(tmp_path: Path, sanitizers: str) -> None:
    program = build("race", tmp_path, sanitizers)
    rounds = {"thread": 20, "address,undefined": 30}[sanitizers] * (50 if SOAK else 1)
    assert run(program, str(rounds)) > 1000
