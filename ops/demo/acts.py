"""An offender and an instant in, the lines of one visit out: every act is a function (log, at, client).

FORGED is the address of somebody who never comes here. Offenders write it wherever a client may choose the text.
"""

from __future__ import annotations

from ops.demo.lines import DOMAIN, OUR_ADDRESS, Client, Log, Service, Session
from ops.demo.traffic import PEOPLE, Verdict, deliver

FORGED = "198.51.100.254"

_GUESSES = ("sales", "info", "admin", "test", "office", "contact", "billing", "jobs", "root", "service", "scan")


def guess_recipients(log: Log, at: int, client: Client) -> None:
    """Try three recipients that do not exist: 3 points."""
    session = _greeted(log, at, client)
    session.command("mail")
    for _ in range(3):
        _reject_unknown(session)
    session.command("quit")
    session.end()


def insist(log: Log, at: int, client: Client) -> None:
    """Try recipients until Postfix has enough: 4 points and 5 for that."""
    session = _greeted(log, at, client)
    session.command("mail")
    for _ in range(4):
        _reject_unknown(session)
    session.offend(f"too many errors after RCPT from {client}", "errors", 5)
    session.end()


def try_relay(log: Log, at: int, client: Client) -> None:
    """Ask for relaying: 2 points."""
    session = _greeted(log, at, client)
    target = f"probe{log.dice.number(1, 99)}@relay-test.example.org"
    session.command("mail")
    session.command("rcpt", ok=False)
    session.offend(_reject(client, f"554 5.7.1 <{target}>: Relay access denied", target), "errors", 2)
    session.command("quit")
    session.end()


def greet_badly(log: Log, at: int, client: Client) -> None:
    """Say a HELO that is no name: 1 point."""
    session = log.session(at, client)
    session.command("helo")
    session.command("mail")
    session.command("rcpt", ok=False)
    reply = "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"
    session.offend(_reject(client, reply, _somebody(log), helo="localhost"), "errors", 1)
    session.command("quit")
    session.end()


def forge_helo(log: Log, at: int, client: Client) -> None:
    """Greet and send as a log line about somebody else: 1 point for this client, none for that one."""
    session = log.session(at, client)
    helo = log.dice.pick((f"client=mail.example.net[{FORGED}]", f"from unknown[{FORGED}]: 554", f"[{FORGED}]"))
    session.command("helo")
    session.command("mail")
    session.command("rcpt", ok=False)
    reply = f"504 5.5.2 <{helo}>: Helo command rejected: need fully-qualified hostname"
    sender = f'"reject: RCPT from unknown[{FORGED}]: 550 5.1.1 no"@example.net'
    session.offend(_reject(client, reply, _somebody(log), sender=sender, helo=helo), "errors", 1)
    session.command("quit")
    session.end()


def speak_http(log: Log, at: int, client: Client) -> None:
    """Take the port for a web server: 5 points."""
    session = log.session(at, client)
    session.command("unknown", ok=False)
    session.offend(f"warning: non-SMTP command from {client}: GET / HTTP/1.1", "errors", 5)
    session.end()


def pipeline(log: Log, at: int, client: Client) -> None:
    """Send everything without waiting: 5 points."""
    session = log.session(at, client)
    session.command("helo")
    words = f"improper command pipelining after HELO from {client}: MAIL FROM:<bulk@example.net>\\r\\nRCPT TO:<"
    session.offend(words, "errors", 5)
    session.command("quit")
    session.end()


def invent_commands(log: Log, at: int, client: Client) -> None:
    """Send commands that do not exist, of which only the counter tells: at least 1 point."""
    session = _greeted(log, at, client)
    session.command("unknown", ok=False)
    session.command("unknown", ok=False)
    session.command("quit")
    session.end()
    log.note(session.at, client, "errors", 1)


def pregreet(log: Log, at: int, client: Client) -> None:
    """Talk before the banner: 5 points. What it says names somebody else at times."""
    peer = _connect_postscreen(log, at, client)
    helo = log.dice.pick(("EHLO win-7f3c2k", "EHLO user-pc", f"EHLO from [{FORGED}]:25: x"))
    at += log.dice.number(40_000, 900_000)
    postscreen(log, at, f"PREGREET {len(helo) + 2} after 0.{log.dice.number(1, 9)} from {peer}: {helo}\\r\\n")
    log.note(at, client, "errors", 5)
    postscreen(log, at + 600_000, f"DISCONNECT {peer}")


def break_lines(log: Log, at: int, client: Client) -> None:
    """Fail two of postscreen's deep tests: 10 points."""
    peer = _connect_postscreen(log, at, client)
    postscreen(log, at + 6_300_000, f"BARE NEWLINE from {peer} after HELO")
    postscreen(log, at + 6_700_000, f"COMMAND PIPELINING from {peer} after NOOP: QUIT\\r\\n")
    for moment in (at + 6_300_000, at + 6_700_000):
        log.note(moment, client, "errors", 5)
    postscreen(log, at + 7_000_000, f"DISCONNECT {peer}")


def fail_login(log: Log, at: int, client: Client) -> None:
    """Try a password: 1 point, though two or three lines tell of it."""
    _fail_login(log, at, client, "UGFzc3dvcmQ6")


def forge_login(log: Log, at: int, client: Client) -> None:
    """Log in with a name that looks like a log line about somebody else: 1 point for this client."""
    name = f"x[{FORGED}]: SASL LOGIN authentication failed: no"
    _fail_login(log, at, client, f"(reason unavailable), sasl_username={name}")


def login_not_offered(log: Log, at: int, client: Client) -> None:
    """Try to log in on port 25, of which only the counter tells: at least 1 point."""
    session = log.session(at, client)
    session.command("ehlo")
    session.command("auth", ok=False)
    session.command("quit")
    session.end()
    log.note(session.at, client, "auth", 1)


def send_spam(log: Log, at: int, client: Client) -> None:
    """Send what SpamAssassin knows: 1 point. Its Received header names somebody else."""
    hits = f"{log.dice.number(9, 31)}.{log.dice.number(0, 9)}"
    actions = "{DiscardedInbound,Quarantined}"
    deliver(log, at, client, Verdict(f"Blocked SPAM {actions}", hits, "spam", traced=FORGED))


def send_virus(log: Log, at: int, client: Client) -> None:
    """Send a virus: 1 point."""
    name = log.dice.pick(("Win.Test.EICAR_HDB-1", "Doc.Dropper.Demo-1", "Zip.Trojan.Demo-7"))
    deliver(log, at, client, Verdict(f"Blocked INFECTED ({name}) {{DiscardedInbound,Quarantined}}", "-", "virus"))


def send_banned(log: Log, at: int, client: Client) -> None:
    """Send an attachment that is not allowed: 1 point."""
    parts = "multipart/mixed | application/zip,.zip,invoice.zip | .exe,.exe-ms,invoice.exe"
    deliver(log, at, client, Verdict(f"Blocked BANNED ({parts}) {{DiscardedInbound,Quarantined}}", "-", "virus"))


def send_doubtful(log: Log, at: int, client: Client) -> None:
    """Send what gets a tag and is delivered: no point."""
    deliver(log, at, client, Verdict("Passed SPAMMY {RelayedTaggedInbound}", f"5.{log.dice.number(0, 9)}"))


def public_list(log: Log, at: int, client: Client) -> None:
    """Be refused because a public block list says so: no point."""
    where = "zen.dnsbl.example.org"
    if log.dice.number(0, 1):
        peer = _connect_postscreen(log, at, client)
        postscreen(log, at + 5_900_000, f"DNSBL rank 3 for {peer}")
        postscreen(log, at + 6_200_000, f"DISCONNECT {peer}")
        return
    _refuse(log, at, client, f"blocked using {where}; https://www.dnsbl.example.org/query/ip/{client.address}")


def own_list(log: Log, at: int, client: Client) -> None:
    """Be refused because repzone says so: a hit, and no point."""
    url = f"https://postmaster.example.net/?ip={client.address}"
    _refuse(log, at, client, f"blocked using bl.example.net; Too many errors from your IP, see {url}")


def without_name(log: Log, at: int, client: Client) -> None:
    """Come from an address without a name: no point."""
    session = _greeted(log, at, client)
    session.command("mail")
    session.command("rcpt", ok=False)
    reply = f"450 4.7.25 Client host rejected: cannot find your hostname, [{client.address}]"
    session.say(_reject(client, reply, _somebody(log)))
    session.command("quit")
    session.end()


def postscreen(log: Log, at: int, text: str) -> None:
    """Write a line of the one postscreen."""
    log.add(at, "postfix/postscreen[1188]", text)


def _connect_postscreen(log: Log, at: int, client: Client) -> str:
    peer = f"[{client.address}]:{log.dice.number(20000, 60999)}"
    postscreen(log, at, f"CONNECT from {peer} to [{OUR_ADDRESS}]:25")
    return peer


def _greeted(log: Log, at: int, client: Client) -> Session:
    session = log.session(at, client)
    session.command("ehlo")
    return session


def _reject_unknown(session: Session) -> None:
    to = f"{session.log.dice.pick(_GUESSES)}{session.log.dice.number(1, 99)}@{DOMAIN}"
    reply = f"550 5.1.1 <{to}>: Recipient address rejected: User unknown in local recipient table"
    session.command("rcpt", ok=False)
    session.offend(_reject(session.client, reply, to), "errors", 1)


def _fail_login(log: Log, at: int, client: Client, reason: str) -> None:
    service: Service = log.dice.pick(("submission/smtpd", "smtps/smtpd"))
    session = log.session(at, client, service)
    session.command("ehlo")
    session.command("auth", ok=False)
    session.offend(f"warning: {client}: SASL LOGIN authentication failed: {reason}", "auth", 1)
    if log.dice.number(0, 2):
        session.say(f"lost connection after AUTH from {client}")
    else:
        session.command("quit")
    session.end()


def _refuse(log: Log, at: int, client: Client, why: str) -> None:
    session = _greeted(log, at, client)
    session.command("mail")
    session.command("rcpt", ok=False)
    reply = f"554 5.7.1 Service unavailable; Client host [{client.address}] {why}"
    session.say(_reject(client, reply, _somebody(log)))
    session.command("quit")
    session.end()


def _reject(
    client: Client, reply: str, to: str, *, sender: str = "bulk@example.net", helo: str = "mail.example.net"
) -> str:
    return f"NOQUEUE: reject: RCPT from {client}: {reply}; from=<{sender}> to=<{to}> proto=ESMTP helo=<{helo}>"


def _somebody(log: Log) -> str:
    return f"{log.dice.pick(PEOPLE)}@{DOMAIN}"
