"""A DNS server and what it answers from in, the pages of a monitor out: /metrics, /healthz, /readyz."""

import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from repzone import __version__
from repzone.clock import Clock
from repzone.serve.dns import DnsServer
from repzone.serve.exposition import CONTENT_TYPE, Family, Sample, render, single
from repzone.serve.meter import BUCKETS, Asked, Meter
from repzone.serve.pages import Page
from repzone.wire.answer import CLOCK_SKEW, View

RCODES = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    9: "NOTAUTH",
    16: "BADVERS",
}
SILENT = ("dropped", "limited")


def make_pages(
    server: DnsServer,
    view: Callable[[], View],
    meter: Meter,
    clock: Clock,
    alive: Callable[[], bool],
    away: Callable[[], str] = lambda: "",
    fault: Callable[[], str] = lambda: "",
) -> Mapping[str, Callable[[], Page]]:
    """Give the pages by their path.

    `alive` tells whether the database is still followed, `away` why it is not open, `fault` why the zones are not as
    the files have them now.
    """

    def metrics() -> Page:
        return Page(render(collect(server, view(), meter, clock(), fault())), content_type=CONTENT_TYPE)

    def healthz() -> Page:
        return Page(b"alive\n") if alive() else _unavailable("the thread that follows the database is stuck")

    def readyz() -> Page:
        reason = unready(view())
        if reason:
            return _unavailable(": ".join(filter(None, (reason, away()))))
        return Page(f"ready, from the last good files: {fault()}\n".encode() if fault() else b"ready\n")

    return {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}


def _unavailable(reason: str) -> Page:
    return Page(f"{reason}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)


def unready(view: View) -> str | None:
    """Give the reason why listings are not answered; None when they are."""
    if not view.zones:
        return "no zone is loaded"
    if view.age is None:
        return "nothing was loaded yet"
    if view.age > view.max_stale:
        return f"the data is {view.age} s old, more than max_stale"
    if view.age < -CLOCK_SKEW:
        return f"the data is from {-view.age} s in the future: a clock was wrong"
    return None


def collect(server: DnsServer, view: View, meter: Meter, now: int, fault: str = "") -> Iterator[Family]:
    """Give all that is counted and measured; `fault` says why the zones are not as the files have them now."""
    core = "compiled" if server.core else "python"
    info = {"version": __version__, "core": core}
    yield Family("repzone_build_info", "gauge", "The version that runs, and which core answers.", [(info, 1)])
    yield from _queries(server, meter)
    yield from _transports(server)
    yield from _data(view, now)
    text = "Whether configuration, policy or zones were refused, and the last good ones serve."
    yield single("repzone_files_refused", "gauge", text, bool(fault))
    yield from _process()


def _queries(server: DnsServer, meter: Meter) -> Iterator[Family]:
    asked: Counter[tuple[str, Asked]] = Counter({("general", key): number for key, number in meter.asked.items()})
    tallies = server.core.tallies() if server.core else []
    for tally in tallies:
        for key, number in tally.answered.items():
            asked["compiled", Asked(key.apex, key.type, key.rcode)] += number
    samples: list[Sample] = [
        ({"zone": key.apex, "type": key.type, "rcode": RCODES.get(key.rcode, str(key.rcode)), "path": path}, number)
        for (path, key), number in sorted(asked.items(), key=str)
    ]
    text = "Queries answered, by zone, type, rcode and which path answered."
    yield Family("repzone_dns_queries_total", "counter", text, samples)
    text = "Time of the general path from having a packet to having its reply."
    buckets = [(bound, sum(meter.buckets[: place + 1])) for place, bound in enumerate(BUCKETS)]
    yield Family(
        "repzone_dns_general_seconds", "histogram", text, buckets=buckets, sum=meter.seconds, count=meter.count
    )
    if server.core:
        yield from _core(tallies)


def _core(tallies: Sequence[object]) -> Iterator[Family]:
    texts = {
        "handed_over": "Packets that the compiled core left to the general path.",
        "failed": "Packets answered with SERVFAIL because too many were waiting for the general path.",
        "unsent": "Replies that the network did not take.",
        "batches": "Batches of packets read from the network.",
        "packets": "Packets read from the network.",
    }
    for name, text in texts.items():
        total = sum(getattr(tally, name) for tally in tallies)
        yield single(f"repzone_dns_core_{name}_total", "counter", text, total)


def _transports(server: DnsServer) -> Iterator[Family]:
    counts = sorted(server.counts.items())
    replies: list[Sample] = [
        ({"transport": transport, "rcode": RCODES.get(int(said), said)}, number)
        for (transport, said), number in counts
        if said not in SILENT
    ]
    yield Family("repzone_dns_replies_total", "counter", "Replies, by transport and rcode in the header.", replies)
    silent: list[Sample] = [
        ({"transport": transport, "reason": said}, number) for (transport, said), number in counts if said in SILENT
    ]
    yield Family("repzone_dns_silent_total", "counter", "Packets that were met with silence, and why.", silent)
    drops = udp_drops(server.addresses)
    text = "Datagrams that the kernel dropped because they were not read in time."
    yield single("repzone_dns_udp_drops_total", "counter", text, drops)
    tcp = server.connections
    yield single("repzone_dns_tcp_connections", "gauge", "Open TCP connections.", len(tcp))
    yield single("repzone_dns_tcp_connections_total", "counter", "TCP connections taken.", tcp.taken)
    text = "TCP connections refused because their client had enough."
    yield single("repzone_dns_tcp_refused_total", "counter", text, tcp.refused)
    yield single("repzone_dns_tcp_cut_total", "counter", "TCP connections cut to make room for others.", tcp.cut)


def _data(view: View, now: int) -> Iterator[Family]:
    yield single("repzone_zones", "gauge", "Zones that are served.", len(view.zones))
    paused: list[Sample] = [({"zone": zone.apex}, zone.apex in view.paused) for zone in view.zones]
    yield Family("repzone_zone_paused", "gauge", "Whether only the test entries of a zone are listed.", paused)
    yield single("repzone_zone_serial", "gauge", "Serial of the last change in the zones.", view.serial)
    if view.age is not None:
        text = "Seconds since the data was last known to be whole."
        yield single("repzone_data_age_seconds", "gauge", text, view.age)
    yield single("repzone_data_max_age_seconds", "gauge", "Age from which the answer is SERVFAIL.", view.max_stale)
    yield single("repzone_ready", "gauge", "Whether listings are answered.", unready(view) is None)
    text = "Whether a reload waits for `repzone zone accept`."
    yield single("repzone_reload_held", "gauge", text, view.held)
    counts: list[Sample] = [({"category": name}, number) for name, number in view.count_listed().items()]
    yield Family("repzone_listings", "gauge", "Listings in the table, by category.", counts)
    exemptions = sum(1 for _ in view.table.exemptions(now))
    yield single("repzone_exemptions", "gauge", "Exemptions in force.", exemptions)


def _process() -> Iterator[Family]:
    times, pages = os.times(), int(Path("/proc/self/statm").read_text().split()[1])
    text = "Processor time, in user and system mode."
    yield single("process_cpu_seconds_total", "counter", text, times.user + times.system)
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    yield single("process_resident_memory_bytes", "gauge", "Memory in use that is no swap.", resident)
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    yield single("process_open_fds", "gauge", "Open file descriptors.", descriptors)


def udp_drops(addresses: Sequence[tuple[str, int]]) -> int:
    """Give the datagrams that the kernel dropped at the sockets of these addresses (proc_net(5): local, drops)."""
    wanted = {_as_the_kernel_writes(host, port) for host, port in addresses}
    drops = 0
    for name in ("udp", "udp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:  # no IPv6
            continue
        for columns in (line.split() for line in lines):
            if columns[1] in wanted:
                drops += int(columns[-1])
    return drops


def _as_the_kernel_writes(host: str, port: int) -> str:
    """Write an address as /proc/net does: words of 32 bits in the machine's order, then the port."""
    octets = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    words = (octets[place : place + 4] for place in range(0, len(octets), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"
