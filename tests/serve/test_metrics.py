"""What a monitor sees: the numbers, their names and the server that hands them out."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from repzone.errors import UnavailableError
from repzone.fastpath import COMPILED, make_table
from repzone.serve import pages
from repzone.serve.dns import DnsServer
from repzone.serve.exposition import Family, render
from repzone.serve.meter import Asked, Meter
from repzone.serve.metrics import collect, make_pages, udp_drops, unready
from repzone.serve.pages import Page, PageServer
from repzone.wire.respond import View, respond
from tests.wire.sample import LOOPBACK, NOW, ZONES, make_view, query

NAME = re.compile(r"(repzone|process)(_[a-z]+)+")
UNITS = ("seconds", "bytes")


def measured(view: View | None = None, meter: Meter | None = None) -> list[Family]:
    """Give what a server that runs measures, with the compiled core where there is one."""
    shown = view or make_view(table=make_table())

    async def main() -> list[Family]:
        server = DnsServer([("127.0.0.1", 0)], lambda: shown, lambda: NOW, table=shown.table, threads=1)
        await server.start()
        try:
            return list(collect(server, shown, meter or Meter(), NOW))
        finally:
            await server.close()

    return asyncio.run(main())


def test_every_metric_is_named_by_convention() -> None:
    families = measured()
    names = [family.name for family in families]
    assert len(set(names)) == len(names) > 20
    assert ("repzone_dns_core_packets_total" in names) == COMPILED
    for family in families:
        assert NAME.fullmatch(family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert family.help.endswith(".")
        assert not any(unit in family.help.lower() and unit not in family.name for unit in UNITS[1:])
        for labels, _ in family.samples:
            assert all(re.fullmatch(r"[a-z]+", label) for label in labels)
    for name in ("repzone_data_age_seconds", "repzone_dns_general_seconds", "process_resident_memory_bytes"):
        assert name in names


def test_the_text_is_prometheus_own_format() -> None:
    families = [
        Family("a_total", "counter", "What.", [({"zone": 'a"b\\c\nd', "type": "A"}, 3), ({}, 0.5)]),
        Family("b_seconds", "histogram", "Time.", buckets=[(0.1, 2), (1.0, 3)], sum=1.25, count=4),
    ]
    assert render(families).decode() == (
        "# HELP a_total What.\n# TYPE a_total counter\n"
        'a_total{zone="a\\"b\\\\c\\nd",type="A"} 3\na_total 0.5\n'
        "# HELP b_seconds Time.\n# TYPE b_seconds histogram\n"
        'b_seconds_bucket{le="0.1"} 2\nb_seconds_bucket{le="1"} 3\nb_seconds_bucket{le="+Inf"} 4\n'
        "b_seconds_sum 1.25\nb_seconds_count 4\n"
    )


def ask(meter: Meter, name: str, qtype: int = 1) -> None:
    view = replace(make_view(), observe=meter.begin(ZONES))
    respond(query(name, qtype), LOOPBACK, NOW, view, udp=True)


def test_queries_are_counted_by_zone_type_rcode_and_path() -> None:
    meter = Meter()
    for name, qtype in [
        *[("7.2.0.192.bl.example.net", 1)] * 2,
        ("7.2.0.192.bl.example.net", 16),
        ("8.2.0.192.spam.bl.example.net", 28),
        ("bl.example.net", 255),
        ("other.example", 1),
    ]:
        ask(meter, name, qtype)
    assert meter.asked == {
        Asked("bl.example.net", "A", 0): 2,
        Asked("bl.example.net", "TXT", 0): 1,
        Asked("spam.bl.example.net", "AAAA", 3): 1,
        Asked("bl.example.net", "other", 0): 1,
        Asked("none", "A", 5): 1,
    }
    text = render(measured(meter=meter)).decode()
    assert 'repzone_dns_queries_total{zone="bl.example.net",type="A",rcode="NOERROR",path="general"} 2\n' in text
    assert 'repzone_dns_queries_total{zone="none",type="A",rcode="REFUSED",path="general"} 1\n' in text
    assert "repzone_dns_general_seconds_count 6\n" in text
    numbers = [int(number) for number in re.findall(r"seconds_bucket\{.*\} (\d+)", text)]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 6


def test_the_state_of_the_data_is_there() -> None:
    view = replace(make_view(serial=812, age=90), held=True, paused=frozenset({"wl.example.net"}))
    text = render(measured(view)).decode()
    for line in (
        "repzone_zone_serial 812",
        "repzone_data_age_seconds 90",
        'repzone_listings{category="errors"} 2',
        "repzone_exemptions 2",
        "repzone_reload_held 1",
        'repzone_zone_paused{zone="wl.example.net"} 1',
        'repzone_zone_paused{zone="bl.example.net"} 0',
        "repzone_ready 1",
    ):
        assert f"{line}\n" in text
    assert "repzone_data_age_seconds" not in render(measured(make_view(age=None))).decode()


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (make_view(), None),
        (make_view(age=86400), None),
        (make_view(age=None), "nothing was loaded yet"),
        (make_view(age=86401), "the data is 86401 s old, more than max_stale"),
        (make_view(age=-61), "the data is from 61 s in the future: a clock was wrong"),
        (replace(make_view(), zones=()), "no zone is loaded"),
    ],
)
def test_a_server_is_ready_when_listings_are_answered(view: View, reason: str | None) -> None:
    assert unready(view) == reason
    server = DnsServer([], lambda: view, lambda: NOW)
    made = make_pages(server, lambda: view, Meter(), lambda: NOW, lambda: reason is None)
    page = made["/readyz"]()
    assert (page.body, page.status) == (f"{reason or 'ready'}\n".encode(), 503 if reason else 200)
    assert made["/healthz"]().status == (200 if reason is None else 503)


def test_a_server_that_serves_older_files_is_ready_and_tells() -> None:
    view, fault = make_view(), "zones/bl.toml: ttl: 300 is no duration"
    server = DnsServer([], lambda: view, lambda: NOW)
    made = make_pages(server, lambda: view, Meter(), lambda: NOW, lambda: True, fault=lambda: fault)
    page = made["/readyz"]()
    assert (page.body, page.status) == (f"ready, from the last good files: {fault}\n".encode(), 200)
    assert b"repzone_files_refused 1\n" in made["/metrics"]().body
    assert b"repzone_files_refused 0\n" in render(measured(view))


def test_a_share_of_the_hits_and_nothing_else_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Meter(share=0.25)
    for _ in range(8):
        ask(meter, "7.2.0.192.bl.example.net")
        ask(meter, "8.2.0.192.bl.example.net")
        ask(meter, "bl.example.net", 6)
        ask(meter, "other.example")
    lines = [line for line in capsys.readouterr().out.splitlines() if "dns.hit" in line]
    assert len(lines) == 2
    assert all("192.0.2.7" in line and "bl.example.net" in line for line in lines)


def test_what_the_kernel_drops_is_counted() -> None:
    for host in ("127.0.0.1", "::1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock, socket.socket(family, socket.SOCK_DGRAM) as sender:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.bind((host, 0))
            address = sock.getsockname()[:2]
            assert udp_drops([address]) == 0
            for _ in range(100):
                sender.sendto(bytes(500), address)
            assert 50 < udp_drops([address]) < 100


Talk = Callable[[tuple[str, int]], Awaitable[None]]


def served(talk: Talk) -> None:
    """Run a server of two pages, one of which is broken, and talk to it."""

    def broken() -> Page:
        raise ZeroDivisionError

    async def main() -> None:
        server = PageServer([("127.0.0.1", 0)], {"/page": lambda: Page(b"text\n"), "/broken": broken})
        await server.start()
        try:
            await talk(server.addresses[0])
        finally:
            await server.close()

    asyncio.run(main())


async def request(address: tuple[str, int], octets: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(octets)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("octets", "status", "body"),
    [
        (b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", 200, b"text\n"),
        (b"GET /page?x=1 HTTP/1.0\r\n\r\n", 200, b"text\n"),
        (b"HEAD /page HTTP/1.1\r\n\r\n", 200, b""),
        (b"GET /other HTTP/1.1\r\n\r\n", 404, b"Not Found\n"),
        (b"GET /broken HTTP/1.1\r\n\r\n", 500, b"Internal Server Error\n"),
        (b"POST /page HTTP/1.1\r\n\r\n", 405, b"Method Not Allowed\n"),
        (b"nonsense\r\n\r\n", 400, b"Bad Request\n"),
        (b"GET  /page HTTP/1.1\r\n\r\n", 400, b"Bad Request\n"),
        (b"\xff\xfe /page HTTP/1.1\r\n\r\n", 405, b"Method Not Allowed\n"),
        (b"GET /page HTTP/1.1\r\n" + b"x: y\r\n" * 5000, 431, b"Request Header Fields Too Large\n"),
    ],
)
def test_each_request_gets_its_status(octets: bytes, status: int, body: bytes) -> None:
    async def talk(address: tuple[str, int]) -> None:
        head, _, said = (await request(address, octets)).partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"\r\nConnection: close" in head
        assert said == body

    served(talk)


def test_a_client_that_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SECONDS", 0.2)

    async def talk(address: tuple[str, int]) -> None:
        for octets in (b"", b"GET /page HTTP/1.1\r\n"):
            assert await request(address, octets) == b""

    served(talk)


def test_more_clients_than_there_may_be_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "CONNECTIONS", 2)

    async def talk(address: tuple[str, int]) -> None:
        idle = [await asyncio.open_connection(*address) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert await request(address, b"GET /page HTTP/1.1\r\n\r\n") == b""
        idle[0][1].close()
        await asyncio.sleep(0.1)
        assert b"200 OK" in await request(address, b"GET /page HTTP/1.1\r\n\r\n")
        idle[1][1].close()

    served(talk)


def test_an_address_that_cannot_be_bound_is_named() -> None:
    async def main() -> None:
        await PageServer([("127.0.0.1", 0), ("2001:db8::1", 9531)], {}).start()

    with pytest.raises(UnavailableError, match=r"\[2001:db8::1\]:9531 \(metrics_listen\)"):
        asyncio.run(main())
