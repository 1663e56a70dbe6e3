"""`repzone doctor` tells why a real resolver does not reach the zone, and what it names helps."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from repzone.jobs.doctor import Finding
from repzone.jobs.postfix import examine_postfix, load_keys, load_postfix
from repzone.serve.client import ask
from repzone.serve.doctor import examine_resolver, load_resolvers
from repzone.zone.definition import CODES
from tests.fix_db import missing
from tests.mta.house import ZONE, House, find_free_port, open_house
from tests.mta.namespace import await_port

pytestmark = pytest.mark.mta

UNBOUND = """\
server:
  interface: 127.0.0.1
  port: {port}
  do-ip6: no
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  module-config: "{modules}"
  local-zone: "net." nodefault
{options}
{stub}
remote-control:
  control-enable: no
"""
STUB = "stub-zone:\n  name: {zone}\n  stub-addr: {dns}\n"
LOCAL = "  do-not-query-localhost: no\n"
REBIND = LOCAL + "  private-address: 127.0.0.0/8\n"
SIGNED = LOCAL + f'  trust-anchor: "{ZONE.partition(".")[2]}. DS 12345 13 2 {"ab" * 32}"\n'
NOWHERE = LOCAL + '  local-zone: "net." static\n'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Serve the zone."""
    with open_house(tmp_path_factory.mktemp("house"), "") as house:
        yield house


@contextmanager
def unbound(house: House, folder: Path, options: str, stub: str = STUB) -> Iterator[tuple[str, int]]:
    """Run unbound with these lines in its server clause, and give where it answers."""
    port = find_free_port("127.0.0.1")
    modules = "validator iterator" if "trust-anchor" in options or "insecure" in options else "iterator"
    filled = stub.format(zone=ZONE, dns=f"{house.dns[0]}@{house.dns[1]}")
    config = folder / "unbound.conf"
    config.write_text(UNBOUND.format(port=port, folder=folder, modules=modules, options=options, stub=filled))
    program = shutil.copy(
        shutil.which("unbound") or "unbound", folder / "unbound"
    )  # AppArmor knows the other by its path
    with running([str(program), "-d", "-c", str(config)], folder, port) as server:
        yield server


@contextmanager
def dnsmasq(house: House, folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Run dnsmasq with these options, and give where it answers."""
    if shutil.which("dnsmasq") is None:
        missing("dnsmasq", "dnsmasq-base")
    port = find_free_port("127.0.0.1")
    command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--port={port}"]
    command += ["--listen-address=127.0.0.1", "--bind-interfaces", f"--server=/{ZONE}/{house.dns[0]}#{house.dns[1]}"]
    with running([*command, "--user=root", "--pid-file=", *options], folder, port) as server:
        yield server


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[tuple[str, int]]:
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        await_port("127.0.0.1", port, [folder / "said"], process)
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(20)


def examine(house: House, resolver: tuple[str, int]) -> Finding:
    assert ask(house.dns, f"2.0.0.127.{ZONE}", "A").answers == ("127.0.0.2",)
    return examine_resolver([resolver], ZONE, house.dns)


def test_a_resolver_that_reaches_the_zone_is_right(house: House, tmp_path: Path) -> None:
    with unbound(house, tmp_path, LOCAL) as resolver:
        assert examine(house, resolver).level == "right"


@pytest.mark.parametrize(
    ("options", "stub", "what", "mend"),
    [
        (REBIND, STUB, "protection against DNS rebinding", f'private-domain: "{ZONE}"'),
        (SIGNED, STUB, "DNSSEC validation", f'domain-insecure: "{ZONE}"'),
        ("", STUB, "does not reach our server", "do-not-query-localhost: no"),
        (NOWHERE, "", f"does not know {ZONE}", "stub-zone:"),
    ],
    ids=["rebinding", "DNSSEC", "localhost", "no stub"],
)
def test_the_cause_is_named_with_the_line_that_mends_it(
    house: House, tmp_path: Path, options: str, stub: str, what: str, mend: str
) -> None:
    with unbound(house, tmp_path, options, stub) as resolver:
        finding = examine(house, resolver)
    assert finding.level == "wrong"
    assert what in finding.what
    assert mend in finding.mend


@pytest.mark.parametrize(
    ("options", "line"),
    [(REBIND, f'private-domain: "{ZONE}"'), (SIGNED, f'domain-insecure: "{ZONE}"'), ("", "do-not-query-localhost: no")],
    ids=["rebinding", "DNSSEC", "localhost"],
)
def test_the_line_does_mend_it(house: House, tmp_path: Path, options: str, line: str) -> None:
    with unbound(house, tmp_path, f"{options}  {line}\n") as resolver:
        assert examine(house, resolver).level == "right"


def test_dnsmasq_protects_against_rebinding_too(house: House, tmp_path: Path) -> None:
    with dnsmasq(house, tmp_path, "--stop-dns-rebind") as resolver:
        finding = examine(house, resolver)
        assert "protection against DNS rebinding" in finding.what
        assert f"rebind-domain-ok=/{ZONE}/" in finding.mend
    with dnsmasq(house, tmp_path, "--stop-dns-rebind", f"--rebind-domain-ok=/{ZONE}/") as resolver:
        assert examine(house, resolver).level == "right"


def test_a_resolver_that_is_not_there_is_said(house: House) -> None:
    finding = examine(house, ("127.0.0.1", find_free_port("127.0.0.1")))
    assert (finding.level, "no resolver" in finding.what) == ("wrong", True)


def test_the_resolvers_are_those_that_the_system_asks(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    assert load_resolvers(file) == [("127.0.0.1", 53)]
    file.write_text("# nameserver 192.0.2.1\nsearch example.net\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n")
    assert load_resolvers(file) == [("192.0.2.53", 53), ("2001:db8::53", 53)]


@pytest.mark.parametrize(
    ("filtered", "master", "said"),
    [
        ("127.0.0.[4..64]", "smtp inet n - n - - smtpd\n", []),
        ("127.0.0.[4;8]", "", ["virus (127.0.0.16) and auth (127.0.0.32) and manual (127.0.0.64)"]),
        ("127.0.0.2", "smtp inet n - n - 1 postscreen\n", ["none of its codes"]),
    ],
    ids=["all codes", "two codes", "the test entry"],
)
def test_postfix_itself_is_asked_how_it_uses_the_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filtered: str, master: str, said: list[str]
) -> None:
    (tmp_path / "main.cf").write_text(
        "compatibility_level = 3.6\n"
        f"ours = reject_rbl_client {ZONE}={filtered}\n"
        "rbl_reply_maps = texthash:$config_directory/replies\n"
        "smtpd_sasl_auth_enable = yes\n"
        "smtpd_recipient_restrictions = permit_mynetworks,\n    permit_sasl_authenticated, $ours\n"
    )
    (tmp_path / "master.cf").write_text(master)
    (tmp_path / "replies").write_text(f"{ZONE}={filtered} $rbl_code No.\nother.example.net $rbl_code Never.\n")
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0))  # Postfix waits while a file is so new that it may still be written
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    values = load_postfix()
    assert values is not None
    assert values.get("smtp/inet/command") == (master.split()[-1] if master else None)
    assert load_keys(values) == {f"{ZONE}={filtered}", "other.example.net"}
    found = [one for one in examine_postfix(values, ZONE, CODES, load_keys(values)) if one.level != "right"]
    assert [what in one.what for one, what in zip(found, said, strict=True)] == [True] * len(said)
