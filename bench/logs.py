"""Mail logs to measure with: lines, share of offences and a seed in, a file out, the same octets each time.

The lines are what Postfix, Amavis and Dovecot of one busy server write, with documentation addresses only.
"""

# ruff: noqa: E501 (log lines are long)

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

START = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
NETWORKS = ("192.0.2", "198.51.100", "203.0.113")
HOST = "mx1"

Lines = list[tuple[str, str]]
"""Program and message of each line."""


class Mail:
    """What happens on a mail server, one act at a time."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - not a secret
        self.number = 0
        self.clients = [self._address() for _ in range(20_000)]
        self.pids = list(range(20_000, 20_040))

    def _address(self) -> str:
        if self.dice.random() < 0.2:
            return f"2001:db8:{self.dice.randrange(4096):x}::{self.dice.randrange(1, 65536):x}"
        return f"{self.dice.choice(NETWORKS)}.{self.dice.randrange(1, 255)}"

    def client(self) -> str:
        """Give some client's address, a fifth of them IPv6; a few come often, and many seldom."""
        return self.clients[min(int(self.dice.paretovariate(0.5)), len(self.clients)) - 1]

    def pid(self) -> int:
        """Give a process: each of 40 serves some hundred clients, then a new one takes its place."""
        place = self.dice.randrange(len(self.pids))
        if self.dice.random() < 0.01:
            self.pids[place] = max(self.pids) + 1
        return self.pids[place]

    def queue(self) -> str:
        """Give a queue id that is not used yet."""
        self.number += 1
        return f"{self.number:04X}{self.dice.randrange(16**6):06X}"

    def deliver(self) -> Lines:
        """Take one message, judge it, put it into a mailbox."""
        client, queue, again, pid = self.client(), self.queue(), self.queue(), self.pid()
        name = f"mail{pid % 97}.friend.example[{client}]"
        smtpd, mid = f"postfix/smtpd[{pid}]", f"<{self.number}.{pid}@friend.example>"
        sender, to, size = f"news{pid % 31}@friend.example", f"user{pid % 211}@here.example", pid * 7
        return [
            (smtpd, f"connect from {name}"),
            (smtpd, f"Anonymous TLS connection established from {name}: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits)"),
            (smtpd, f"{queue}: client={name}"),
            ("postfix/cleanup[811]", f"{queue}: message-id={mid}"),
            ("postfix/qmgr[77]", f"{queue}: from=<{sender}>, size={size}, nrcpt=1 (queue active)"),
            (smtpd, f"disconnect from {name} ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"),
            ("postfix/smtpd[812]", "connect from localhost[127.0.0.1]"),
            ("postfix/smtpd[812]", f"{again}: client=localhost[127.0.0.1]"),
            ("postfix/cleanup[811]", f"{again}: message-id={mid}"),
            ("postfix/smtpd[812]", "disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"),
            ("postfix/qmgr[77]", f"{again}: from=<{sender}>, size={size + 400}, nrcpt=1 (queue active)"),
            ("amavis[4051]", f"(04051-{self.number % 99:02d}) Passed CLEAN {{RelayedInbound}}, [{client}]:{pid + 20000} [{client}] <{sender}> -> <{to}>, Queue-ID: {queue}, Message-ID: {mid}, mail_id: q{self.number}, Hits: -0.2, size: {size}, queued_as: {again}, 412 ms"),
            ("postfix/smtp[815]", f"{queue}: to=<{to}>, relay=127.0.0.1[127.0.0.1]:10024, delay=0.9, delays=0.4/0/0/0.5, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {again})"),
            ("postfix/qmgr[77]", f"{queue}: removed"),
            ("postfix/lmtp[816]", f"{again}: to=<{to}>, relay=mx1.here.example[private/dovecot-lmtp], delay=0.1, delays=0.05/0/0/0.05, dsn=2.0.0, status=sent (250 2.0.0 <{to}> cUcAB{self.number} Saved)"),
            ("postfix/qmgr[77]", f"{again}: removed"),
        ]  # fmt: skip

    def read(self) -> Lines:
        """Let a user of ours read mail."""
        client, number = self.client(), self.dice.randrange(1000, 30000)
        return [
            ("dovecot", f"imap-login: Login: user=<user{number % 211}@here.example>, method=PLAIN, rip={client}, lip=192.0.2.1, mpid={number}, TLS, session=<aB{number}cD>"),
            ("dovecot", f"imap(user{number % 211}@here.example)<{number}><aB{number}cD>: Disconnected: Logged out in={number} out={number * 3} deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0"),
        ]  # fmt: skip

    def refuse(self) -> Lines:
        """Refuse somebody's recipients, relaying, or greeting."""
        client, pid = self.client(), self.pid()
        name, smtpd = f"unknown[{client}]", f"postfix/smtpd[{pid}]"
        where = f"from=<win{pid % 53}@spam.example> to=<user{pid % 997}@here.example> proto=ESMTP helo=<host{pid % 61}.spam.example>"
        what = self.dice.choice(
            (
                f"550 5.1.1 <user{pid % 997}@here.example>: Recipient address rejected: User unknown in virtual mailbox table; {where}",
                f"454 4.7.1 <user{pid % 997}@far.example>: Relay access denied; {where}",
                f"504 5.5.2 <host{pid % 61}>: Helo command rejected: need fully-qualified hostname; {where}",
                f"450 4.1.8 <win{pid % 53}@spam.example>: Sender address rejected: Domain not found; {where}",
            )
        )
        return [
            (smtpd, f"connect from {name}"),
            (smtpd, f"NOQUEUE: reject: RCPT from {name}: {what}"),
            (smtpd, f"disconnect from {name} ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4"),
        ]

    def guess(self) -> Lines:
        """Refuse somebody's password."""
        client, pid = self.client(), self.pid()
        name, smtpd = f"unknown[{client}]", f"postfix/smtpd[{pid}]"
        return [
            (smtpd, f"connect from {name}"),
            (smtpd, f"warning: {name}: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=info"),
            (smtpd, f"lost connection after AUTH from {name}"),
            (smtpd, f"disconnect from {name} ehlo=1 auth=0/1 commands=1/2"),
        ]

    def greet_early(self) -> Lines:
        """Catch somebody in postscreen."""
        client, number = self.client(), self.dice.randrange(1000, 60000)
        peer = f"[{client}]:{number}"
        return [
            ("postfix/postscreen[55]", f"CONNECT from {peer} to [192.0.2.1]:25"),
            ("postfix/postscreen[55]", f"PREGREET 14 after 0.05 from {peer}: EHLO ylmf-pc\\r\\n"),
            ("postfix/postscreen[55]", f"DISCONNECT {peer}"),
        ]

    def spam(self) -> Lines:
        """Let Amavis call a message spam."""
        client, queue = self.client(), self.queue()
        return [
            ("amavis[4051]", f"(04051-{self.number % 99:02d}) Blocked SPAM {{DiscardedInbound}}, [{client}]:40000 [{client}] <win@spam.example> -> <user{self.number % 211}@here.example>, Queue-ID: {queue}, Message-ID: <{self.number}@spam.example>, mail_id: s{self.number}, Hits: 14.2, size: 2100, 612 ms"),
        ]  # fmt: skip


def mixed(mail: Mail, share: float) -> Iterator[tuple[str, str]]:
    """Give lines of all kinds, of which that share tells an offence."""
    lines = offences = 0
    clean: tuple[Callable[[], Lines], ...] = (mail.deliver, mail.deliver, mail.deliver, mail.read)
    dirty = (mail.refuse, mail.refuse, mail.refuse, mail.guess, mail.greet_early, mail.spam)
    while True:
        short = offences < lines * share
        act = mail.dice.choice(dirty if short else clean)()
        offences += short
        lines += len(act)
        yield from act


def offences(mail: Mail) -> Iterator[tuple[str, str]]:
    """Give lines that are offences, all of them."""
    wanted = ("reject:", "SASL", "PREGREET", "Blocked")
    while True:
        for act in (mail.refuse, mail.refuse, mail.refuse, mail.guess, mail.greet_early, mail.spam):
            yield from (line for line in act() if any(word in line[1] for word in wanted))


def write(path: Path, lines: int, share: float | None, seed: int = 1) -> None:
    """Write a log of so many lines; `share` of them tell an offence, None for all. 50 lines are of one second."""
    mail = Mail(seed)
    source = offences(mail) if share is None else mixed(mail, share)
    with path.open("w", buffering=1 << 20) as file:
        for number in range(lines):
            if number % 50 == 0:
                stamp = f"{datetime.fromtimestamp(START + number // 50, UTC):%b %e %H:%M:%S}"
            program, message = next(source)
            file.write(f"{stamp} {HOST} {program}: {message}\n")
