"""A line of Dovecot's login and auth processes in, what it says of the client out (2.0 to 2.4).

    imap-login: Disconnected (auth failed, 2 attempts in 9 secs): user=<U>, rip=CLIENT, lip=US, TLS, session=<S>
    imap-login: Login aborted: Connection closed (auth failed, 1 attempts in 2 secs) (auth_failed): user=<U>, …
    auth-worker(71): sql(U,CLIENT,<S>): unknown user
    auth(U,CLIENT,sasl:plain)<S>: sql: Password mismatch (given password: …)
    auth: pam_unix(dovecot:auth): authentication failure; … ruser=U rhost=CLIENT  user=U

The login name stands before the client, a given password behind it: a line of which two readings are possible gives
nothing (client-common.c, auth-request.c, passdb-pam.c; pam_unix's support.c). The login line tells all the attempts
of its session, the lines of auth each of them: `join` counts them once, by session, or by client where none is named.
"""

from __future__ import annotations

import re

from repzone.logs.fact import ADDRESS, Fact, Kind
from repzone.logs.syslog import Header

COMPONENT = "dovecot"

_LONGEST = 4096  # Dovecot cuts login names at 80 octets, passwords at 1024
_LEVEL = r"(?>(?:(?:Debug|Info|Warning|Error|Fatal|Panic): )?)"
_LOGIN = re.compile(rf"(?P<service>[a-z0-9-]{{1,20}}-login): {_LEVEL}")
_ELEMENTS = re.compile(r": (?=user=<|method=|rip=)")
_CLIENT = re.compile(
    rf"rip=(?P<client>{ADDRESS})"
    r"(?>(?:, [^<>]*+(?>(?:(?<=\bsession=)<(?P<session>[^<>\s]{0,128}+)>(?>(?:, [^<>]*+)?))?))?)\s*\Z"
)
_LEADS = (
    *("Aborted login", "Disconnected", "Login aborted", "Logged out"),
    *("Remote closed connection", "Client has quit the connection", "Connection closed"),
)
_OURS = re.compile(
    r"(?:Disconnected|Aborted login|Login aborted): (?:Shutting down|Connection queue full|Process is full"
    r"|Auth process broken)"
)
_PROXIED = re.compile(r"proxy\([\w.@+-]{0,80}+\): started proxying to [\w.:\[\]-]{1,255}+(?: \(.*\))?")
_EVENT = re.compile(r" \([a-z_]++\)\Z")
_WHY = re.compile(
    r"(?:(?P<auth_failed>auth failed|authorization failed|proxy dest auth(?: failed|entication failure)|user disabled"
    r"|sent invalid base64 in response|(?P<before_1_1>[1-9]\d{0,8}) authentication attempts)"
    r"|(?P<auth_plaintext_disallowed>tried to use dis(?:abl|allow)ed (?:plain|clear)text auth)"
    r"|(?P<auth_mechanism_invalid>tried to use unsupported auth mechanism|anonymous logins disabled)"
    r"|(?P<no_auth_attempt>(?:no auth|0 authentication) attempts|client didn't finish SASL auth"
    r"|aborted authentication|auth aborted by client"
    r"|disconnected (?:before (?:auth was ready|greeting)|while authenticating|during TLS handshake)"
    r"|cert required, client didn't start TLS|client (?:didn't send a|sent an \w++) cert))"
    r"(?>(?:, (?P<count>\d{1,9}) attempts)?)(?>(?:,? (?:in|waited) \d++ secs)?)"
)

_AUTH = ("auth", "dovecot", "pam_")
_PROCESS = re.compile(
    rf"(?>(?:dovecot: )?)(?:dovecot-auth|auth(?:-worker)?)(?>(?:\((?:\d{{1,10}}|default)\))?): {_LEVEL}"
    r"(?>(?:conn unix:[\w./-]++(?>(?: \([\w=,]*+\))?): auth-worker<\d++>: )?)"
)
_TOLD = (
    r"(?:(?P<auth_unknown_user>[Uu]nknown user"
    r"|pam_authenticate\(\) failed: User not known to the underlying authentication module)"
    r"|(?P<auth_failed>[Pp]assword mismatch(?: \(for LDAP bind\))?|[Ii]nvalid credentials|Login failed \(status=\d++\)"
    r"|pam_authenticate\(\) failed: (?:Authentication failure|Permission denied"
    r"|Have exhausted maximum number of retries for service)(?: \([Pp]assword mismatch\?\))?"
    r"|No password returned \(and no nopassword\)|Attempted login with password having illegal chars"
    r"|[Ii]nvalid input|Invalid base64 data in (?:initial|continued) response"
    r"|Empty username|Username (?:character disallowed by|contains disallowed character).*)"
    r"|(?P<auth_policy_refused>Authentication failure due to policy server refusal(?:: .*)?|allow_nets check failed.*))"
    r"(?: \((?:SHA1 of )?given password: .*\)|: \d++ Time\(s\))?\s*\Z"
)
_SESSION = r"<(?P<session>[^<>\s]{0,128}+)>"
_BEFORE_2_4 = re.compile(
    rf"(?=,(?P<client>{ADDRESS})(?>(?:,master)?)(?>(?:,(?>(?:{_SESSION})?))?)\): (?P<told>{_TOLD}))",
    re.DOTALL,
)
_PLACES = re.compile(rf",{ADDRESS}(?=[,)])")
_DATABASE = re.compile(r"(?P<database>[\w.-]{1,64}+)\(")
_SINCE_2_4 = re.compile(
    rf"(?=,(?P<client>{ADDRESS})(?>(?:,sasl:[\w-]++)?)(?>(?:,master)?)\)(?>(?:<\d{{1,10}}>)?)(?>(?:{_SESSION})?): "
    rf"(?>(?:request \[\d++\]: )?){_LEVEL}(?>(?:(?P<database>[\w.-]{{1,64}}+): )?)(?P<told>{_TOLD}))",
    re.DOTALL,
)
_PAM = re.compile(
    r"(?P<database>pam_\w{1,20}+)\([\w-]++:auth\): (?>(?:(?P<more>\d{1,9}) more )?)authentication failures?; "
    r"logname=\S*+ uid=\d++ euid=\d++ tty=dovecot ruser=(?P<rest>.*+)",
    re.DOTALL,
)
_RHOST = re.compile(rf"(?= rhost=(?P<client>{ADDRESS})(?: {{1,2}}user=(?P<user>.*))?\s*\Z)", re.DOTALL)


def parse(header: Header) -> Fact | None:
    """Give what the line says of its client, None when it says nothing or names no client."""
    text = header.message
    if len(text) > _LONGEST:
        return None
    if header.program.endswith("-login"):
        text = f"{header.program}: {text}"
    if not text.startswith(_AUTH):
        login = _LOGIN.match(text)
        return _login(header, login["service"], text[login.end() :]) if login is not None else None
    process = _PROCESS.match(text)
    if process is not None:
        text = text[process.end() :]
    elif text.startswith(("auth(", "auth-worker(")):
        return _asked(header, _SINCE_2_4, text)
    if text.startswith("pam_") and (pam := _PAM.match(text)) is not None:
        return _pam(header, pam)
    database = _DATABASE.match(text) if process is not None else None
    return _asked(header, _BEFORE_2_4, text, database["database"]) if database is not None else None


def _login(header: Header, service: str, text: str) -> Fact | None:
    """Read a line of a login service; `user=<…>` stands before `rip=`, so that the last `rip=` is Dovecot's own."""
    found = _ELEMENTS.search(text)
    if found is None:
        return None
    head, elements = text[: found.start()], text[found.end() :]
    place = _CLIENT.match(elements, elements.rfind("rip="))
    if place is None or elements.find("user=<") > elements.find("rip="):
        return None
    session = f"{header.host} {place['session']}" if place["session"] else ""
    if head in ("Login", "Logged in") or _PROXIED.fullmatch(head):
        return Fact(Kind.LOGIN, place["client"], COMPONENT, header.at, session=session, traffic=True)
    if head == "Aborted login" and "method=" in elements[: place.start()]:
        head += " (1 authentication attempts)"  # 1.0 does not say how many
    why = _why(head)
    if why is None:
        return None
    reason = next(name for name in _WHY.groupindex if why[name])
    tried = reason != "no_auth_attempt"
    if not tried and _OURS.match(head):
        return None
    return Fact(
        Kind.OFFENCE,
        place["client"],
        COMPONENT,
        header.at,
        reason,
        int(why["count"] or why["before_1_1"] or 1) * header.repeat if tried else header.repeat,
        session=session,
        stage="AUTH" if tried else "",
        detail=f"{service}: {why[0]}",
        echo=not tried,
        server=header.host,
    )


def _why(head: str) -> re.Match[str] | None:
    """Find why a session ended without a login: the last parenthesis, but for the event's name that 2.4 puts behind."""
    if not head.startswith(_LEADS):
        return None
    event = _EVENT.search(head)
    if event is not None:
        head = head[: event.start()]
    return _WHY.fullmatch(head, head.rfind(" (") + 2, len(head) - 1) if head.endswith(")") else None


def _asked(header: Header, form: re.Pattern[str], text: str, database: str = "") -> Fact | None:
    """Read what a password database told of one attempt."""
    place = form.search(text)
    if place is None or len(_PLACES.findall(text)) > 1:  # a login name, or a password, may hold one as well
        return None
    names = ("auth_unknown_user", "auth_failed", "auth_policy_refused")
    reason = next(name for name in names if place[name])
    database = database or place["database"] or "auth"
    if text.startswith("auth-worker("):
        database += " of auth-worker"  # whose answer auth may log once more, as that of a database of its own
    return _attempt(header, place["client"], reason, database, place["session"] or "")


def _pam(header: Header, pam: re.Match[str]) -> Fact | None:
    """Read PAM's line; the name of the user, which may hold a forged `rhost=`, stands on both sides of the client."""
    rest = pam["rest"]
    places = list(_RHOST.finditer(rest))
    if len(places) != 1:
        return None
    if rest.count(" rhost=") > 1 and (places[0]["user"] or "").strip() != rest[: places[0].start()]:
        return None  # the one that reads as the client's may be a part of the name
    return _attempt(header, places[0]["client"], "auth_failed", pam["database"], count=int(pam["more"] or 1))


def _attempt(header: Header, client: str, reason: str, database: str, session: str = "", count: int = 1) -> Fact:
    told = {"auth_failed": "login failed", "auth_unknown_user": "unknown user"}.get(reason, "refused by policy")
    return Fact(
        Kind.OFFENCE,
        client,
        COMPONENT,
        header.at,
        reason,
        count * header.repeat,
        session=f"{header.host} {session}" if session else "",
        stage="AUTH",
        detail=f"{database}: {told}",
        server=header.host,
        database=database,
    )
