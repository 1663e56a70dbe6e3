"""Nothing in, ops/demo/mail.log.gz out: `python -m ops.demo.generate`.

The log is invented, with documentation addresses, and the same octet for octet each time. It tells of the four
days before `lines.END`: ordinary mail, and the offenders of EPISODES, whose listings `cast.CAST` promises.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ops.demo import acts, traffic
from ops.demo.lines import END, SECOND, START, Client, Log

TARGET = Path(__file__).with_name("mail.log.gz")
SEED = 20260305
LENGTH = round((END - START).total_seconds())
HOUR = 3600

Act = Callable[[Log, int, Client], None]


@dataclass(frozen=True, slots=True)
class Episode:
    """Visits of one offender: `visits` of them, `gap` seconds apart, from so many hours before the end on."""

    clients: tuple[Client, ...]
    act: Act
    visits: int
    hours: tuple[float, ...]
    gap: int = 20


def _from(address: str, name: str = "unknown") -> tuple[Client, ...]:
    return (Client(address, name),)


_NETWORK = tuple(Client(f"2001:db8:5:1::{host}") for host in ("a1", "b2", "c3", "d4"))
_OWN_USER = _from("203.0.113.210", "dsl-210.access.example.net")

EPISODES = (
    Episode(_from("192.0.2.10", "host10.dsl.example.net"), acts.guess_recipients, 6, (80, 60, 3)),
    Episode(_from("192.0.2.10", "host10.dsl.example.net"), acts.own_list, 9, (79, 57.5, 2.5), gap=400),
    # An smtpd that lives on keeps the answer a little longer than the listing lasts.
    Episode(_from("192.0.2.10", "host10.dsl.example.net"), acts.own_list, 12, (77.94, 55.94), gap=3),
    Episode(_from("192.0.2.25"), acts.pregreet, 6, (0.4,), gap=40),
    Episode(_from("203.0.113.44", "probe.example.net"), acts.try_relay, 8, (70, 1)),
    Episode(_from("203.0.113.9", "vps9.example.net"), acts.insist, 3, (95, 90, 84, 74, 52, 2)),
    Episode(_from("192.0.2.99"), acts.forge_helo, 15, (0.7,)),
    Episode(_from("192.0.2.99"), acts.greet_badly, 15, (0.6,)),
    Episode(_NETWORK, acts.guess_recipients, 8, (50, 0.75)),
    Episode(_from("198.51.100.77"), acts.speak_http, 3, (40,), gap=60),
    Episode(_from("198.51.100.77"), acts.pipeline, 3, (39.9,), gap=60),
    Episode(_from("198.51.100.78"), acts.break_lines, 3, (30,), gap=90),
    Episode(_from("203.0.113.45"), acts.invent_commands, 14, (64, 33), gap=45),
    Episode(_from("198.51.100.20", "mail.letters.example.net"), acts.send_spam, 5, (34, 2), gap=200),
    Episode(_from("203.0.113.150", "smtp.offers.example.net"), acts.send_spam, 4, (88, 60, 5.5), gap=300),
    Episode(_from("2001:db8:77::25"), acts.send_spam, 5, (0.8,), gap=120),
    Episode(_from("198.51.100.23"), acts.send_spam, 4, (44,), gap=240),
    Episode(_from("198.51.100.66"), acts.send_virus, 2, (9,), gap=500),
    Episode(_from("192.0.2.200", "mail.practice.example.org"), acts.send_virus, 1, (82, 7)),
    Episode(_from("203.0.113.66", "mail.accounts.example.org"), acts.send_banned, 1, (46,)),
    Episode(_from("203.0.113.80"), acts.fail_login, 16, (90, 45, 1), gap=25),
    Episode(_from("192.0.2.81"), acts.forge_login, 12, (55, 1.5)),
    Episode(_from("192.0.2.81"), acts.fail_login, 14, (54.9, 1.4)),
    Episode(_from("198.51.100.82"), acts.login_not_offered, 16, (0.5,)),
    Episode(_from("203.0.113.85"), acts.fail_login, 14, (26,)),
    Episode(_from("192.0.2.50", "server50.example.net"), acts.guess_recipients, 6, (0.5,)),
    Episode(_from("192.0.2.50", "server50.example.net"), acts.send_spam, 4, (0.6,), gap=60),
    # Those who must not be listed.
    Episode(_from("10.20.30.40", "printer.lan.example.com"), acts.fail_login, 40, (72, 48, 24, 1), gap=40),
    Episode(_from("192.0.2.140"), acts.guess_recipients, 8, (66, 18), gap=1800),
    Episode(_from("203.0.113.151"), acts.send_spam, 2, tuple(7.0 * n for n in range(1, 13)), gap=900),
    Episode(_OWN_USER, traffic.mistype, 12, (69, 21), gap=900),
    Episode(_from("198.51.100.120"), acts.public_list, 40, (76, 28, 4), gap=50),
    Episode(_from("198.51.100.121"), acts.without_name, 25, (36, 3), gap=50),
    Episode(_from("198.51.100.24", "news.shop.example.org"), acts.send_doubtful, 8, (58, 6), gap=300),
    Episode(_from("198.51.100.231", "relay.example.org"), traffic.relay_refuses, 15, (42,), gap=60),
)

_SENDERS = tuple(
    Client(f"198.51.100.{number}", f"mail{number}.{domain}")
    for number, domain in enumerate(("example.org", "shop.example.org", "school.example.net", "bank.test") * 5, 130)
) + tuple(Client(f"2001:db8:100:{number}::25", f"mx{number}.example.org") for number in range(1, 6))

_USERS = tuple(
    (Client(f"203.0.113.{200 + number}", f"dsl-{200 + number}.access.example.net"), user)
    for number, user in enumerate(traffic.PEOPLE)
)

MESSAGES = 1000
SUBMISSIONS = 250


def build() -> Log:
    """Play everything; `to_bytes` of what comes out is the log."""
    log = Log(SEED)
    for episode in EPISODES:
        play(log, episode)
    for _ in range(MESSAGES):
        traffic.greet_first(log, _business_hour(log), log.dice.pick(_SENDERS))
    for _ in range(SUBMISSIONS):
        traffic.submit(log, _business_hour(log), *log.dice.pick(_USERS))
    for at in range(600, LENGTH + 1, 600):
        cached = f"statistics: max cache size {log.dice.number(1, 12)} at the last ten minutes"
        log.add(at * SECOND, "postfix/anvil[1299]", cached)
    return log


def play(log: Log, episode: Episode) -> None:
    """Let the offender come, each time with a little chance in the pauses."""
    for hours in episode.hours:
        at = LENGTH * SECOND - round(hours * HOUR) * SECOND
        for visit in range(episode.visits):
            episode.act(log, at, episode.clients[visit % len(episode.clients)])
            at += episode.gap * SECOND + log.dice.number(0, episode.gap * SECOND // 5)


def compress(text: bytes) -> bytes:
    """Give the octets of the shipped file: no name and no time in the header."""
    return gzip.compress(text, compresslevel=9, mtime=0)


def _business_hour(log: Log) -> int:
    """Give an instant, of which two in three are at the busy time of a day; none in the last minute."""
    at = log.dice.number(0, LENGTH - 60)
    hour = (at // HOUR + START.hour) % 24
    if not 7 <= hour < 19 and log.dice.number(0, 2):
        at = log.dice.number(0, LENGTH - 60)
    return at * SECOND + log.dice.number(0, SECOND - 1)


if __name__ == "__main__":
    TARGET.write_bytes(compress(build().to_bytes()))
