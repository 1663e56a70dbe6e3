"""Zones in; whether they are answered for, by our server and by the system's resolver, and what is in the way, out."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from repzone.config import parse_listen
from repzone.errors import UnavailableError
from repzone.jobs.doctor import Case, Finding, load_last
from repzone.serve.bind import bind_pair, format_address
from repzone.serve.client import ask
from repzone.serve.standing import look
from repzone.wire.ask import Reply
from repzone.zone.definition import Zone

Server = tuple[str, int]
RESOLV_CONF = Path("/etc/resolv.conf")
SLACK = 60
"""Seconds that a change may take until it is committed and served."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - names what is meant by it


def reachable(listen: str) -> Server:
    """Give where a server that listens there can be asked."""
    host, port = parse_listen(listen)
    return _EVERYWHERE.get(host, host), port


def check_ports(case: Case) -> Iterator[Finding]:
    """See that our server answers where it should, or that the ports are free for it."""
    for listen in case.settings.dns_listen:
        server = reachable(listen)
        if server[1] == 0 or not case.zones:
            continue
        where = format_address(*server)
        if _asked(server, f"2.0.0.127.{case.zones[0].apex}", "A") is not None:
            yield _compare(case, server)
            continue
        try:
            for sock in bind_pair(*server):
                sock.close()
        except UnavailableError as error:
            yield Finding("port", "wrong", str(error), "set dns_listen in repzone.toml to a port that is free")
        else:
            yield Finding("port", "wrong", f"nobody answers on {where}", "systemctl start repzone, or repzone run")


def _compare(case: Case, server: Server) -> Finding:
    """Tell whether a server that answers has our database: another's has serials that ours never gave out, or does not
    see what ours did long before it last looked.
    """
    where = format_address(*server)
    theirs = look(server, case.zones[0].apex, case.settings.max_stale)
    ours = load_last(case)  # after theirs: it can only have grown since
    if theirs.serial is not None and ours is not None:
        serial, changed = ours
        looked = case.clock() - SLACK - (theirs.age or 0)
        behind = not theirs.bad and theirs.serial < serial and changed is not None and changed < looked
        if theirs.serial > serial or behind:
            what = f"what answers on {where} has another database: serial {theirs.serial}, and ours is at {serial}"
            mend = f"ss -lnup 'sport = :{server[1]}': is it another repzone, or a demo? End it, or change dns_listen"
            return Finding("port", "warning", what, mend)
    return Finding("port", "right", f"a DNS server answers on {where}")


def check_answers(case: Case) -> Iterator[Finding]:
    """See that each zone lists 127.0.0.2 and not 127.0.0.1 (RFC 5782 §5), asking our server."""
    server = _first(case)
    for zone in case.zones if server else ():
        listed, never = (_asked(server, f"{n}.0.0.127.{zone.apex}", "A") for n in (2, 1))  # type: ignore[arg-type]
        if listed is None or never is None:
            continue  # check_ports said so
        if "127.0.0.2" not in listed.answers:
            yield Finding("answers", "wrong", f"{zone.apex} does not list 127.0.0.2 ({listed.rcode})", _restart(zone))
        elif never.rcode != "NXDOMAIN":
            yield Finding("answers", "wrong", f"{zone.apex} lists 127.0.0.1 ({never.rcode})", _restart(zone))
        else:
            stranger = _asked(server, f"1.2.0.192.{zone.apex}", "A")  # type: ignore[arg-type]
            if stranger is not None and stranger.rcode == "SERVFAIL":
                mend = "repzone db status; journalctl -u repzone"
                yield Finding("answers", "wrong", f"{zone.apex} has no data, or too old ones (SERVFAIL)", mend)
            else:
                yield Finding("answers", "right", f"{zone.apex} lists 127.0.0.2 and not 127.0.0.1")


def _restart(zone: Zone) -> str:
    return f"systemctl reload repzone: does the running server know {zone.apex} as the files have it?"


def check_resolver(case: Case) -> Iterator[Finding]:
    """See that the system's resolver, which the mail server asks, reaches each zone."""
    resolvers = load_resolvers(RESOLV_CONF)
    server = _first(case)
    if server is None or not resolvers:
        return
    for zone in case.zones:
        if _asked(server, f"2.0.0.127.{zone.apex}", "A") is not None:
            yield examine_resolver(resolvers, zone.apex, server)


def load_resolvers(file: Path) -> list[Server]:
    """Read the name servers of resolv.conf(5); without any it is the one on this machine."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    words = [line.split() for line in lines]
    return [(line[1], 53) for line in words if line[:1] == ["nameserver"] and len(line) > 1] or [("127.0.0.1", 53)]


def examine_resolver(resolvers: Sequence[Server], apex: str, server: Server) -> Finding:
    """Ask the first resolver that replies for the test entry; where it does not have it, name the usual cause.

    `server` is ours, which has the entry.
    """
    name = f"2.0.0.127.{apex}"
    for resolver in resolvers:
        reply = _asked(resolver, name, "A", recursive=True)
        if reply is None:
            continue
        where = format_address(*resolver)
        if "127.0.0.2" in reply.answers:
            return Finding("resolver", "right", f"{where} reaches {apex}")
        what, mend = _cause(resolver, name, apex, server, reply)
        return Finding("resolver", "wrong", f"{where} {what}", mend)
    tried = ", ".join(format_address(*resolver) for resolver in resolvers)
    return Finding(
        "resolver",
        "wrong",
        f"no resolver of {RESOLV_CONF} replies ({tried})",
        "apt-get install unbound, and name it there",
    )


def _cause(resolver: Server, name: str, apex: str, server: Server, reply: Reply) -> tuple[str, str]:
    """Tell by further questions what keeps a resolver from the zone; give that, and the way out."""
    at = f"{server[0]}@{server[1]}"
    stub = f'stub-zone: name: "{apex}" stub-addr: {at} (dnsmasq: server=/{apex}/{server[0]}#{server[1]})'
    text = _asked(resolver, name, "TXT", recursive=True)
    if text is not None and text.answers:
        return (
            f"takes 127.0.0.2 out of the answer for {name}: protection against DNS rebinding",
            f'unbound: server: private-domain: "{apex}" (dnsmasq: rebind-domain-ok=/{apex}/)',
        )
    unchecked = _asked(resolver, name, "A", recursive=True, unchecked=True)
    if reply.rcode == "SERVFAIL" and unchecked is not None and "127.0.0.2" in unchecked.answers:
        return f"wants {apex} signed: DNSSEC validation", f'unbound: server: domain-insecure: "{apex}"'
    if reply.rcode == "SERVFAIL":
        local = server[0].startswith("127.") or server[0] == "::1"
        reason = "unbound asks nobody on localhost unless told" if local else "is the address right, may it ask?"
        mend = f"unbound: server: do-not-query-localhost: no, {stub}" if local else stub
        return f"does not reach our server ({at}): {reason}", mend
    return f"does not know {apex} ({reply.rcode})", f"unbound: {stub}"


def _first(case: Case) -> Server | None:
    """Give our own server to ask, if there is one with a port that is known."""
    servers = [server for server in map(reachable, case.settings.dns_listen) if server[1]]
    return servers[0] if servers else None


def _asked(server: Server, name: str, kind: str, *, recursive: bool = False, unchecked: bool = False) -> Reply | None:
    """Ask; None when nobody replies."""
    try:
        return ask(server, name, kind, recursive=recursive, unchecked=unchecked)
    except UnavailableError:
        return None
