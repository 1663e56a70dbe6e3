"""A DNS server and a zone in, a real Postfix behind a real unbound out, which asks that server about clients.

    with PostfixPeer(dns=("127.0.0.1", 5300), zone="bl.example.net") as peer:
        reply = peer.rcpt("192.0.2.1")  # what Postfix says to RCPT from that client (XCLIENT)
        text = peer.log()  # its own mail.log

Needs root and Debian's postfix and unbound. No file of the system is touched: configuration, spool, log and
resolv.conf lie in a temporary folder, seen through a private mount namespace. Everything runs in a process
namespace of its own (see `namespace`), which the kernel empties when its first process ends: when the block ends,
however it ends, nothing is left.

Neither unbound nor smtpd keeps an answer from one `rcpt` to the next, so a listing's end shows at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from tests.mta import namespace

PACKAGES = ("postfix", "unbound")
INSTALL = "apt-get install --no-install-recommends postfix unbound"
FILTER = "127.0.0.[4;8;16;32;64]"

# Own processes, mounts and /proc; the script is process 1, and ends when `unshare` does.
NAMESPACE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")


class Reply(NamedTuple):
    """Postfix's answer: code and text, further lines joined by newline."""

    code: int
    text: str


class PeerError(Exception):
    """Postfix or unbound cannot be started or asked; the message holds their own words."""


def missing() -> str:
    """Say what this machine lacks to run a peer, with the way out; "" when nothing."""
    # sbin is not in the PATH of every root shell.
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    lacking = [package for package in PACKAGES if shutil.which(package, path=path) is None]
    if lacking:
        return f"no {' and '.join(lacking)} here: {INSTALL}"
    if os.geteuid() != 0:
        return "only root can start Postfix in a namespace of its own"
    return ""


class PostfixPeer:
    """A running Postfix that refuses what the zone lists, at RCPT; one at a time or several."""

    def __init__(
        self,
        dns: tuple[str, int],
        zone: str,
        *,
        rbl_filter: str = FILTER,
        rbl_reply_maps: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Take the server that is asked for the zone, and how.

        `rbl_filter` is what follows `ZONE=` ("" for any answer), `settings` further lines of main.cf.
        `rbl_reply_maps` is a table of reply templates; mind that Postfix looks up what its restriction says, filter
        included: `bl.example.net=127.0.0.[4;8]`.
        """
        self._asked = (dns, zone, rbl_filter)
        self._replies = dict(rbl_reply_maps or {})
        self._settings = dict(settings or {})
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start both servers; PeerError with their own words when that fails."""
        with contextlib.ExitStack() as stack:
            self._work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="repzone-mta-")))
            self._work.chmod(0o755)  # Postfix's own user walks through it
            (host, port), zone, rbl_filter = self._asked
            self._address = find_free_address()
            wanted = namespace.Wanted(
                work=str(self._work),
                loopback=self._address[0],
                smtp_port=self._address[1],
                dns=f"{host}@{port}",
                zone=zone,
                rbl_filter=rbl_filter,
                rbl_reply_maps=self._replies,
                settings=self._settings,
            )
            stack.callback(self._end, self._start(wanted))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything and remove the folder."""
        self._stack.close()

    def _start(self, wanted: namespace.Wanted) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*NAMESPACE, sys.executable, namespace.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
        )
        try:
            with contextlib.suppress(BrokenPipeError):  # then standard error tells why
                _pipe(process.stdin).write(json.dumps(wanted) + "\n")
                _pipe(process.stdin).flush()
            line = _pipe(process.stdout).readline()  # comes within its own time limits
            said = json.loads(line) if line else {"error": _pipe(process.stderr).read() or "no answer"}
            if "error" in said:
                raise PeerError(said["error"].strip())
        except BaseException:
            self._end(process)
            raise
        return process

    def _end(self, process: subprocess.Popen[str]) -> None:
        """Let process 1 end, and the kernel the rest: `unshare` returns when all are gone."""
        with contextlib.suppress(BrokenPipeError):
            _pipe(process.stdin).close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()  # --kill-child takes process 1 with it
            process.wait(20)
        for pipe in (process.stdout, process.stderr):
            _pipe(pipe).close()

    def rcpt(
        self,
        ip: str,
        *,
        sender: str = "a@example.org",
        recipient: str = "b@example.test",
        helo: str = "peer.example.org",
    ) -> Reply:
        """Open a session as that client and give the reply to RCPT; its log lines are in `log` afterwards.

        PeerError when the zone could not be asked: Postfix accepts then, which must not pass for "not listed".
        """
        before = len(self.log())
        with smtplib.SMTP(*self._address, local_hostname=helo, timeout=30) as session:
            session.ehlo()
            address = f"IPV6:{ip}" if ":" in ip else ip
            self._expect(session.docmd("XCLIENT", f"ADDR={address} NAME=[UNAVAILABLE]"), 220)
            self._expect(session.ehlo(), 250)
            self._expect(session.mail(sender), 250)
            code, text = session.rcpt(recipient)
        self._await_disconnect(before)
        if "RBL lookup error" in self.log()[before:]:
            raise PeerError(f"the zone does not answer:\n{self.log()[before:]}")
        return Reply(code, text.decode("utf-8", "replace"))

    def _expect(self, reply: tuple[int, bytes], code: int) -> None:
        if reply[0] != code:
            raise PeerError(f"Postfix says {reply[0]} {reply[1].decode(errors='replace')}\n{self.log()[-3000:]}")

    def _await_disconnect(self, before: int) -> None:
        """Wait for the session's last line: postlogd writes a moment after the reply."""
        end = time.monotonic() + 10
        while "]: disconnect from " not in self.log()[before:]:
            if time.monotonic() > end:
                raise PeerError(f"the session's end is not in the log:\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def log(self) -> str:
        """Give the whole text of Postfix's mail.log."""
        path = self._work / "mail.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def find_free_address() -> tuple[str, int]:
    """Find an address in 127/8 whose port 53 is free, and a free port on it for SMTP.

    resolv.conf cannot name a port, so the resolver needs an address where 53 is its own.
    """
    problem: OSError | None = None
    for _ in range(20):
        host = f"127.{random.randint(64, 254)}.{random.randint(1, 254)}.{random.randint(2, 254)}"
        try:
            with (
                socket.socket(type=socket.SOCK_DGRAM) as udp,
                socket.socket() as tcp,
                socket.socket() as smtp,
            ):
                udp.bind((host, 53))
                tcp.bind((host, 53))
                smtp.bind((host, 0))
                return host, int(smtp.getsockname()[1])
        except OSError as error:
            problem = error
    raise PeerError(f"port 53 is free on no address in 127/8 (does something listen on 0.0.0.0:53?): {problem}")


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise TypeError("the process was started without that pipe")
    return pipe
