"""How a server of ours stands, as it says itself."""

from dataclasses import replace

import pytest

from repzone.serve.standing import Standing, look
from repzone.wire.respond import View
from tests.serve.running import running
from tests.wire.sample import make_view

APEX = "bl.example.net"


@pytest.mark.parametrize(
    ("view", "standing"),
    [
        (make_view(), Standing(812, 1)),
        (make_view(age=60), Standing(812, 60)),
        (make_view(age=61), Standing(812, 61, "it does not see the database", bad=True)),
        (make_view(age=3601), Standing(812, 3601, "its data is older than max_stale: SERVFAIL", bad=True)),
        (
            make_view(age=-61),
            Standing(812, -61, "its data is from the future, a clock was wrong: SERVFAIL", bad=True),
        ),
        (
            make_view(age=None),
            Standing(812, None, "it knows nothing yet: listings are answered with SERVFAIL", bad=True),
        ),
        (
            replace(make_view(), held=True),
            Standing(812, 1, "it holds a reload that would lose over half: `repzone zone accept`", bad=True),
        ),
    ],
)
def test_a_server_says_how_it_stands(view: View, standing: Standing) -> None:
    with running(lambda: view) as server:
        assert look(server.address, APEX, 3600) == standing


def test_who_is_no_server_of_the_zone_is_known_for_it() -> None:
    with running() as server:
        there, address = look(server.address, "other.example", 3600), server.address
    assert there == Standing(None, None, "it says REFUSED, and is no server of this zone", bad=True)
    assert look(address, APEX, 3600) == Standing(None, None, "nobody answers", bad=True)
