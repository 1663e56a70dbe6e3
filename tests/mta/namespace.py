"""One JSON line on standard input in, a running unbound and Postfix out, until the input ends.

This is the inside of `peer.PostfixPeer`: the script that runs as process 1 of its own mount and process namespace.
There /etc/resolv.conf is a file of ours, and when this process ends the kernel ends everything that it started.
It writes one JSON line when both servers answer, `{}` or `{"error": "what and why"}`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TypedDict

START_SECONDS = 20.0


class Wanted(TypedDict):
    """What `peer` asks for."""

    work: str  # a folder of ours
    loopback: str  # the address in 127/8 where unbound (port 53) and smtpd listen
    smtp_port: int
    dns: str  # HOST@PORT of the server that is asked for the zone
    zone: str
    rbl_filter: str
    rbl_reply_maps: dict[str, str]
    settings: dict[str, str]  # further lines of main.cf


class StartError(Exception):
    """A server does not start; the message holds what it said."""


UNBOUND = """\
server:
  interface: {loopback}
  port: 53
  do-ip6: no
  do-daemonize: no
  num-threads: 1
  username: ""
  chroot: ""
  directory: "{work}"
  pidfile: "{work}/unbound.pid"
  use-syslog: no
  logfile: "{work}/unbound.log"
  do-not-query-localhost: no
  module-config: "iterator"
  qname-minimisation: yes
  # Nothing is kept between two questions: a listing's end shows at once.
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  infra-host-ttl: 1
  local-zone: "127.in-addr.arpa." static
  local-zone: "in-addr.arpa." static
  local-zone: "{top}." nodefault
stub-zone:
  name: "{zone}"
  stub-addr: {dns}
remote-control:
  control-enable: no
"""

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {work}/spool
data_directory = {work}/data
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = all
myhostname = mx.example.test
mydestination = example.test
local_recipient_maps =
mynetworks = 127.255.255.254/32
maillog_file = {work}/mail.log
maillog_file_prefixes = /tmp, /var, {work}
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_peername_lookup = no
smtpd_recipient_restrictions = reject_rbl_client {zone}{filter}, permit_auth_destination, reject
rbl_reply_maps = texthash:{work}/etc/rbl_reply
# smtpd caches answers as long as it lives: one process a client.
max_use = 1
"""

MASTER_CF = """\
{loopback}:{smtp_port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
"""


def start_unbound(wanted: Wanted) -> None:
    """Start unbound with the zone as a stub and wait until it listens; StartError with its log otherwise."""
    work = Path(wanted["work"])
    top = wanted["zone"].rstrip(".").rsplit(".", 1)[-1]
    config = work / "unbound.conf"
    config.write_text(UNBOUND.format(**wanted, top=top))
    # AppArmor lets Debian's own /usr/sbin/unbound read nothing but /etc/unbound; a copy has no such profile.
    program = shutil.copy(shutil.which("unbound") or "unbound", work / "unbound")
    with (work / "unbound.out").open("w") as out:
        unbound = subprocess.Popen(
            [str(program), "-d", "-c", str(config)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    await_port(wanted["loopback"], 53, [work / "unbound.out", work / "unbound.log"], unbound)


def start_postfix(wanted: Wanted) -> None:
    """Start Postfix from a configuration of ours; StartError with what it and its log say otherwise."""
    work = Path(wanted["work"])
    etc = work / "etc"
    for folder in (etc, work / "spool", work / "data"):
        folder.mkdir()
    shutil.chown(work / "data", "postfix")
    main_cf = MAIN_CF.format(**wanted, filter=f"={wanted['rbl_filter']}" if wanted["rbl_filter"] else "")
    main_cf += "".join(f"{key} = {value}\n" for key, value in wanted["settings"].items())
    (etc / "main.cf").write_text(main_cf)
    (etc / "master.cf").write_text(MASTER_CF.format(**wanted))
    replies = "".join(f"{zone} {template}\n" for zone, template in wanted["rbl_reply_maps"].items())
    (etc / "rbl_reply").write_text(replies)
    log = work / "mail.log"
    # It returns when master listens: no session of ours need try, which would leave its lines in the log.
    done = subprocess.run(
        ["postfix", "-c", str(etc), "start"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    if done.returncode:
        # Its programs speak to a terminal or to a log that is not there yet: `script` is a terminal.
        command = f"postfix -c {etc} start"
        said = subprocess.run(
            ["script", "-qec", command, "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        words = said.stdout.decode(errors="replace").replace("\r\n", "\n")
        raise StartError(f"postfix start: exit {done.returncode}\n{done.stdout}{words}{tail(log)}")


def await_port(host: str, port: int, logs: list[Path], process: subprocess.Popen[bytes]) -> None:
    """Return when the TCP port takes connections; StartError when the process ends first, or after 20 s."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((host, port), 1).close()
        except OSError as error:
            code = process.poll()
            if code is not None or time.monotonic() > end:
                problem = f"{host}:{port}: {error}" if code is None else f"exit {code}"
                raise StartError(f"unbound: {problem}\n{''.join(map(tail, logs))}") from None
            time.sleep(0.05)
        else:
            return


def tail(path: Path) -> str:
    """Give the end of a log file, as far as it is there."""
    return path.read_text(errors="replace")[-3000:] if path.exists() else ""


def start(wanted: Wanted) -> None:
    """Put our resolver into this namespace and start both servers."""
    resolv_conf = Path(wanted["work"], "resolv.conf")
    resolv_conf.write_text(f"nameserver {wanted['loopback']}\noptions timeout:2 attempts:1\n")
    # A link to a file elsewhere is followed here; mount itself would cover the link's target all the same.
    target = os.path.realpath("/etc/resolv.conf")
    subprocess.run(["mount", "--bind", str(resolv_conf), target], check=True, stdin=subprocess.DEVNULL)
    start_unbound(wanted)
    start_postfix(wanted)


def main() -> None:
    """Start, tell how it went, stay until standard input ends."""
    wanted: Wanted = json.loads(sys.stdin.readline())
    try:
        start(wanted)
    except (StartError, OSError, subprocess.SubprocessError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    print(json.dumps({}), flush=True)
    sys.stdin.read()
    # Also when the test was killed, and cannot do it.
    shutil.rmtree(wanted["work"], ignore_errors=True)


if __name__ == "__main__":
    main()
