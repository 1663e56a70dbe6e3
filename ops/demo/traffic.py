"""A client and an instant in, the lines of ordinary mail out: inbound through Amavis, submission, outbound.

None of it is an offence, except where Amavis's verdict on a message says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ops.demo.lines import DOMAIN, HOST, OUR_ADDRESS, SECOND, Client, Log, Service, Session

PEOPLE = ("alice", "bruno", "chloe", "david", "emma", "farid", "greta", "hugo", "ines", "jonas", "karin", "luis")
FILTER = Client("127.0.0.1", "localhost")
TLS = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
MAILBOXES = f"{HOST}.{DOMAIN}[private/dovecot-lmtp]"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Amavis says of a message: `Passed CLEAN {RelayedInbound}`; `category` when that is an offence."""

    words: str
    hits: str
    category: Literal["spam", "virus"] | None = None
    traced: str = ""  # the address in the message's own Received header


CLEAN = Verdict("Passed CLEAN {RelayedInbound}", "-0.2")


@dataclass(frozen=True, slots=True)
class Message:
    """What the lines about one message repeat."""

    id: str
    sender: str
    to: str
    size: int


def deliver(log: Log, at: int, client: Client, verdict: Verdict = CLEAN) -> None:
    """Take a message from the client; Amavis judges it, then it goes to a mailbox or nowhere."""
    domain = client.name.split(".", 1)[1] if client.name.count(".") > 1 else "bulk.example.net"
    message = _message(log, f"{log.dice.pick(('news', 'office', 'mary', 'noreply', 'peter'))}@{domain}")
    session = log.session(at, client)
    session.command("ehlo")
    if log.dice.number(0, 3):
        session.command("starttls")
        session.command("ehlo")
        session.say(f"Anonymous TLS connection established from {client}: {TLS}")
    queue_id = _take(session, message, "")
    at = session.at + log.dice.number(SECOND // 2, 3 * SECOND)
    again = ""
    if verdict.words.startswith("Passed"):
        again = _take_back(log, at, message)
    at += 900_000
    _judge(log, at, client, message, verdict, (queue_id, again))
    said = f"250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as {again}"
    said = said if again else f"250 2.7.0 Ok, discarded, {verdict.words.split()[1]}"
    _sent(log, at + 20_000, "smtp", queue_id, message, "127.0.0.1[127.0.0.1]:10024", f"2.0.0, status=sent ({said})")
    if again:
        _sent(log, at + 300_000, "lmtp", again, message, MAILBOXES, "2.0.0, status=sent (250 2.0.0 Saved)")


def greet_first(log: Log, at: int, client: Client) -> None:
    """Let postscreen see a client that it does not know, then one that it does; the mail comes a while later."""
    peer = f"[{client.address}]:{log.dice.number(20000, 60999)}"
    program = "postfix/postscreen[1188]"
    log.add(at, program, f"CONNECT from {peer} to [{OUR_ADDRESS}]:25")
    if log.dice.number(0, 5):
        log.add(at + 3_000, program, f"PASS OLD {peer}")
        deliver(log, at + 5_000, client)
    else:
        log.add(at + 6 * SECOND, program, f"PASS NEW {peer}")
        deliver(log, at + 6 * SECOND + 5_000, client)


def submit(log: Log, at: int, client: Client, user: str) -> None:
    """Take a message from one of our users, who logged in, and send it out."""
    bounced = log.dice.number(0, 7) == 0
    to = f"{log.dice.pick(('kim', 'lee', 'max'))}@example.org"
    message = replace(_message(log, f"{user}@{DOMAIN}"), to=to)
    service: Service = log.dice.pick(("submission/smtpd", "smtps/smtpd"))
    session = log.session(at, client, service)
    session.command("ehlo")
    if service == "submission/smtpd":
        session.command("starttls")
        session.command("ehlo")
    session.say(f"Anonymous TLS connection established from {client}: {TLS}")
    session.command("auth")
    queue_id = _take(session, message, f", sasl_method=PLAIN, sasl_username={user}@{DOMAIN}")
    relay = "mx.example.org[198.51.100.230]"
    said = "2.0.0, status=sent (250 2.0.0 Ok: queued)"
    if bounced:
        words = f"550 5.1.1 <{message.to}>: Recipient address rejected: User unknown in virtual mailbox table"
        said = f"5.1.1, status=bounced (host {relay} said: {words} (in reply to RCPT TO command))"
    _sent(log, session.at + 2 * SECOND, "smtp", queue_id, message, f"{relay}:25", said)


def mistype(log: Log, at: int, client: Client) -> None:
    """Fail to log in once, as our own users do: 1 point."""
    session = log.session(at, client, "submission/smtpd")
    for command in ("ehlo", "starttls", "ehlo"):
        session.command(command)
    session.say(f"Anonymous TLS connection established from {client}: {TLS}")
    session.command("auth", ok=False)
    session.offend(f"warning: {client}: SASL PLAIN authentication failed: ", "auth", 1)
    session.command("quit")
    session.end()


def relay_refuses(log: Log, at: int, client: Client) -> None:
    """Log in at somebody else's relay, which refuses us: no offence of that relay."""
    queue_id = log.queue_id()
    words = "SASL authentication failed; server"
    log.add(
        at,
        "postfix/smtp[1330]",
        f"warning: {queue_id}: {words} {client} said: 535 5.7.8 Error: authentication failed",
    )


def _message(log: Log, sender: str) -> Message:
    host = sender.partition("@")[2]
    message_id = f"{log.dice.text('0123456789abcdef', 12)}@{host}"
    return Message(message_id, sender, f"{log.dice.pick(PEOPLE)}@{DOMAIN}", log.dice.number(1800, 90000))


def _take(session: Session, message: Message, login: str) -> str:
    """Write how a message enters the queue, up to the session's end; give its queue id."""
    queue_id = session.log.queue_id()
    session.say(f"{queue_id}: client={session.client}{login}")
    for command in ("mail", "rcpt", "data", "quit"):
        session.command(command)
    _queue(session, queue_id, message)
    return queue_id


def _take_back(log: Log, at: int, message: Message) -> str:
    """Write how Amavis gives the message back on port 10025; give its new queue id."""
    queue_id = log.queue_id()
    session = log.session(at, FILTER, "10025/smtpd")
    session.say(f"{queue_id}: client={FILTER}")
    for command in ("ehlo", "xforward", "mail", "rcpt", "data", "quit"):
        session.command(command)
    _queue(session, queue_id, message)
    return queue_id


def _queue(session: Session, queue_id: str, message: Message) -> None:
    log = session.log
    cleanup = f"postfix/cleanup[{log.dice.pick((1291, 1292, 1297))}]"
    log.add(session.at + 30_000, cleanup, f"{queue_id}: message-id=<{message.id}>")
    words = f"{queue_id}: from=<{message.sender}>, size={message.size}, nrcpt=1 (queue active)"
    log.add(session.at + 60_000, "postfix/qmgr[1201]", words)
    session.at += 80_000
    session.end()


def _judge(log: Log, at: int, client: Client, message: Message, verdict: Verdict, queue_ids: tuple[str, str]) -> None:
    process = log.dice.pick((15011, 15012))
    where = f"[{client.address}]:{log.dice.number(20000, 60999)}"
    where += f" [{verdict.traced}]" if verdict.traced else ""
    queued = f", queued_as: {queue_ids[1]}" if queue_ids[1] else ""
    mail_id = log.dice.text("abcdefghkmnpqrstuvwxyz", 12)
    words = (
        f"({process}-{log.dice.number(1, 19):02d}) {verdict.words}, {where} <{message.sender}> -> <{message.to}>, "
        f"Queue-ID: {queue_ids[0]}, Message-ID: <{message.id}>, mail_id: {mail_id}, "
        f"Hits: {verdict.hits}, size: {message.size}{queued}, {log.dice.number(180, 2900)} ms"
    )
    log.add(at, f"amavis[{process}]", words)
    if verdict.category:
        log.note(at, client, verdict.category, 1)


def _sent(log: Log, at: int, agent: str, queue_id: str, message: Message, relay: str, said: str) -> None:
    delay = f"0.{log.dice.number(10, 99)}"
    words = f"{queue_id}: to=<{message.to}>, relay={relay}, delay={delay}, delays=0.02/0/0.01/{delay}, dsn={said}"
    log.add(at, f"postfix/{agent}[{1330 if agent == 'smtp' else 1340}]", words)
    log.add(at + 10_000, "postfix/qmgr[1201]", f"{queue_id}: removed")
